// Say of each document, in base64 in a file, where Yjs has its items: client, clock, length, root, key.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(new URL('../interop/package.json', import.meta.url))
const Y = require('yjs')

const placeOf = (doc, item) => {
  let key = item.parentSub
  let type = item.parent
  while (type._item !== null) {
    key = type._item.parentSub
    type = type._item.parent
  }
  for (const [name, root] of doc.share) {
    if (root === type) return [name, key]
  }
  throw new Error('an item lies in no root')
}

const asked = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const said = {}
for (const [name, state] of Object.entries(asked)) {
  const doc = new Y.Doc({ gc: false })
  Y.applyUpdate(doc, Buffer.from(state, 'base64'))
  said[name] = []
  for (const structs of doc.store.clients.values()) {
    for (const struct of structs) {
      if (struct instanceof Y.Item) {
        said[name].push([struct.id.client, struct.id.clock, struct.length, ...placeOf(doc, struct)])
      }
    }
  }
}
console.log(JSON.stringify(said))
