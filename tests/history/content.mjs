// Say what Yjs shows of documents at moments. The question, as JSON in a file: per document an update
// without deletions and its moments, each a snapshot and an update, in base64. Roots are opened as they
// are named: text, map, array, xml.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(new URL('../interop/package.json', import.meta.url))
const Y = require('yjs')

const bytes = data => Buffer.from(data, 'base64')

const value = each => {
  if (each instanceof Uint8Array) return { bytes: Buffer.from(each).toString('base64') }
  if (typeof each === 'bigint') return { bigint: each.toString() }
  if (each instanceof Y.Doc || each === undefined) return null
  if (!(each instanceof Y.AbstractType)) {
    if (Array.isArray(each)) return each.map(value)
    if (each !== null && typeof each === 'object') {
      return Object.fromEntries(Object.entries(each).map(([key, held]) => [key, value(held)]))
    }
    return each
  }
  return shown(each)
}

const attributes = type => Object.fromEntries(
  [...type._map].filter(([, item]) => !item.deleted)
    .map(([key, item]) => [key, value(item.content.getContent()[item.length - 1])])
)

const shown = type => {
  if (type instanceof Y.XmlElement) {
    return { name: type.nodeName, attributes: attributes(type), children: type.toArray().map(value) }
  }
  if (type instanceof Y.XmlHook) return { hook: type.hookName, value: attributes(type) }
  if (type instanceof Y.XmlFragment) return { kind: 'xml', children: type.toArray().map(value) }
  if (type instanceof Y.Map) return { kind: 'map', value: attributes(type) }
  if (type instanceof Y.Array) return { kind: 'array', value: type.toArray().map(value) }
  const delta = type.toDelta().map(op => ({ ...op, insert: value(op.insert) }))
  const found = type instanceof Y.XmlText ? { text: delta } : { kind: 'text', delta }
  const held = attributes(type)
  return Object.keys(held).length > 0 ? { ...found, attributes: held } : found
}

const kinds = { text: Y.Text, map: Y.Map, array: Y.Array, xml: Y.XmlFragment }

const roots = (doc, named) => Object.fromEntries(
  Object.entries(named).map(([name, kind]) => {
    const type = doc.get(name, kinds[kind])
    return [name, kind === 'xml' ? { ...shown(type), string: type.toString() } : shown(type)]
  })
)

const said = JSON.parse(readFileSync(process.argv[2], 'utf8')).map(({ structs, moments }) => {
  const whole = new Y.Doc({ gc: false })
  Y.applyUpdate(whole, bytes(structs))
  return moments.map(({ snapshot, update, log, roots: named }) => {
    const restored = Y.createDocFromSnapshot(whole, Y.decodeSnapshot(bytes(snapshot)))
    const cut = new Y.Doc()
    Y.applyUpdate(cut, bytes(update))
    const replayed = new Y.Doc()
    for (const each of log) Y.applyUpdate(replayed, bytes(each))
    return [restored, cut, replayed].map(doc => roots(doc, named))
  })
})
console.log(JSON.stringify(said))
