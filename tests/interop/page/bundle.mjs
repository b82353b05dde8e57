// Bundles a page: `node bundle.mjs OUTDIR '{"quill": "quill-2", ...}' page/editor.js`.

import { build } from 'esbuild'
import { fileURLToPath } from 'node:url'

const [outdir, alias, page] = process.argv.slice(2)
await build({
  absWorkingDir: fileURLToPath(new URL('..', import.meta.url)),
  entryPoints: [page],
  bundle: true,
  outdir,
  alias: JSON.parse(alias),
  logLevel: 'warning'
})
