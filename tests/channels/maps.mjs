// Say what root maps hold after updates, in base64 in a file: for each list of updates, by root,
// what Yjs makes of them all, and of what Yjs itself writes of that.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(new URL('../interop/package.json', import.meta.url))
const Y = require('yjs')

const { roots, updates } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const said = updates.map(each => {
  const doc = new Y.Doc()
  for (const data of each) Y.applyUpdate(doc, Buffer.from(data, 'base64'))
  const again = new Y.Doc()
  Y.applyUpdate(again, Y.encodeStateAsUpdate(doc))
  return [doc, again].map(one => {
    if (one.store.pendingStructs !== null || one.store.pendingDs !== null) throw new Error('gaps')
    return Object.fromEntries(roots.map(root => [root, one.getMap(root).toJSON()]))
  })
})
console.log(JSON.stringify(said))
