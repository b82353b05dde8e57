// Say of each state, in base64 in a file, what Yjs shows of it: pairs of a place and its content.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(new URL('../interop/package.json', import.meta.url))
const Y = require('yjs')

// Yjs's own toString stops at values that no application puts into a fragment.
const written = (node) => {
  if (!(node instanceof Y.XmlFragment)) return node instanceof Y.AbstractType ? node.toJSON() : node
  const attributes = node instanceof Y.XmlElement ? [node.nodeName, node.getAttributes()] : []
  return [...attributes, node.toArray().map(written)]
}

const shown = (state) => {
  const doc = new Y.Doc()
  const text = doc.getText('text')
  const map = doc.getMap('map')
  const array = doc.getArray('array')
  const xml = doc.getXmlFragment('xml')
  Y.applyUpdate(doc, Buffer.from(state, 'base64'))
  const places = [
    [['text', null], JSON.stringify(text.toDelta())],
    [['array', null], JSON.stringify(array.toJSON())],
    [['xml', null], JSON.stringify(written(xml))]
  ]
  for (const key of map.keys()) {
    const value = map.get(key)
    const plain = value instanceof Y.AbstractType ? value.toJSON() : value
    places.push([['map', key], JSON.stringify(plain) ?? 'undefined'])
  }
  return places
}

const asked = JSON.parse(readFileSync(process.argv[2], 'utf8'))
console.log(JSON.stringify(asked.map(shown)))
