// Records the corpus: `node tests/corpus/record.mjs [FOLDER]`, after `npm ci` in tests/interop.
//
// Each case runs real Yjs documents and writes one JSON file: the updates in the order in which
// the clients emitted them, the final state, its content, and what Yjs itself says about each
// update. Client ids and random numbers are seeded, so recording again gives the same updates.

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { format, record } from './recorder.mjs'

const folder = process.argv[2] ?? fileURLToPath(new URL('data/', import.meta.url))
mkdirSync(folder, { recursive: true })
for (const file of readdirSync(folder)) rmSync(join(folder, file))

let total = 0
for (const module of readdirSync(new URL('cases/', import.meta.url)).sort()) {
  const { cases } = await import(new URL('cases/' + module, import.meta.url))
  for (const [name, run] of Object.entries(cases)) {
    const seed = [...name].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) >>> 0, 7)
    const text = format(record({ name, seed, run }))
    writeFileSync(join(folder, name + '.json'), text)
    total += text.length
    console.log(`${name}: ${text.length}`)
  }
}
console.log(`${total} bytes`)
