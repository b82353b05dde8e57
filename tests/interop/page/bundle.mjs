// Bundles the page: `node bundle.mjs OUTDIR '{"quill": "quill-2", ...}'`.

import { build } from 'esbuild'
import { fileURLToPath } from 'node:url'

const [outdir, alias] = process.argv.slice(2)
await build({
  absWorkingDir: fileURLToPath(new URL('..', import.meta.url)),
  entryPoints: ['page/editor.js'],
  bundle: true,
  outdir,
  alias: JSON.parse(alias),
  logLevel: 'warning'
})
