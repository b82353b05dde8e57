// Opens rewritten updates in Yjs: `node reopen.mjs FILE`, where FILE holds
// `{case: {roots: {name: kind}, original: [base64], ways: {way: [base64]}}}`. Prints a line for
// each way whose document is not the one that the original updates make.

import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { Y, contentOf } from '../corpus/recorder.mjs'

const KINDS = { text: Y.Text, map: Y.Map, array: Y.Array, xml: Y.XmlFragment }

// pycrdt writes -0 as 0.
const unsigned = value => {
  if (value === null || typeof value !== 'object') return value
  if (value.$ === 'number' && value.value === '-0') return 0
  if (Array.isArray(value)) return value.map(unsigned)
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, unsigned(inner)]))
}

const open = (updates, roots) => {
  const doc = new Y.Doc({ gc: false })
  for (const update of updates) Y.applyUpdate(doc, Buffer.from(update, 'base64'))
  return {
    content: Object.fromEntries(
      Object.entries(roots).map(([name, kind]) => [name, unsigned(contentOf(doc.get(name, KINDS[kind])))])
    ),
    clocks: [...Y.decodeStateVector(Y.encodeStateVector(doc))].sort(),
    snapshot: Y.snapshot(doc),
    waits: doc.store.pendingStructs !== null || doc.store.pendingDs !== null
  }
}

const difference = (a, b) => {
  for (const part of ['content', 'clocks', 'waits']) {
    if (!isDeepStrictEqual(a[part], b[part])) {
      return `${part}: ${JSON.stringify(a[part])} became ${JSON.stringify(b[part])}`
    }
  }
  return Y.equalSnapshots(a.snapshot, b.snapshot) ? null : 'other deletions'
}

for (const [name, { roots, original, ways }] of Object.entries(JSON.parse(readFileSync(process.argv[2], 'utf8')))) {
  const wanted = open(original, roots)
  for (const [way, updates] of Object.entries(ways)) {
    const found = difference(wanted, open(updates, roots))
    if (found) console.log(`${name}, ${way}: ${found.slice(0, 2000)}`)
  }
}
