// Histories as Yjs makes them, and what Yjs makes of restored documents.
//   node restoring.mjs make FILE: for each seed in it, what three authors send, apart and together.
//   node restoring.mjs show FILE: for each list of updates in it, what a document shows that gets them.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(new URL('../interop/package.json', import.meta.url))
const Y = require('yjs')

const bytes = data => Buffer.from(data, 'base64')
const WORDS = ['a', 'bc', 'def ', 'é', '日本', '😀', 'x😀y', '😀😀', '\n', 'tail']
const KEYS = ['a', 'b', 'c']
const FORMATS = [{ b: true }, { i: { n: 1 } }, { b: null }, { i: null }]

const open = doc => ({
  text: doc.getText('text'), map: doc.getMap('map'), array: doc.getArray('array'), xml: doc.getXmlFragment('xml')
})

// What a document shows

const value = each => {
  if (each instanceof Uint8Array) return { bytes: Buffer.from(each).toString('base64') }
  if (typeof each === 'bigint') return { bigint: each.toString() }
  if (each instanceof Y.Doc) return { doc: each.guid }
  if (each === undefined) return { undefined: true }
  if (each instanceof Y.AbstractType) return shown(each)
  if (Array.isArray(each)) return each.map(value)
  if (each !== null && typeof each === 'object') {
    return Object.fromEntries(Object.entries(each).sort().map(([key, held]) => [key, value(held)]))
  }
  return each
}

const keys = type => [...type._map].filter(([, item]) => !item.deleted).sort(([a], [b]) => a < b ? -1 : 1)
  .map(([key, item]) => [key, value(item.content.getContent()[item.length - 1])])

const shown = type => {
  const held = keys(type)
  if (type instanceof Y.XmlHook) return ['hook', type.hookName, held]
  if (type instanceof Y.XmlElement) return ['element', type.nodeName, held, type.toArray().map(value)]
  if (type instanceof Y.XmlFragment) return ['xml', type.toArray().map(value)]
  if (type instanceof Y.Map) return ['map', held]
  if (type instanceof Y.Array) return ['array', type.toArray().map(value)]
  return ['text', type.toDelta().map(op => [value(op.insert), value(op.attributes ?? {})]), held]
}

const show = updates => {
  const doc = new Y.Doc()
  const roots = open(doc)
  for (const each of updates) Y.applyUpdate(doc, bytes(each))
  return Object.values(roots).map(shown)
}

// What authors do

const random = seed => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

const make = seed => {
  const next = random(seed)
  const roll = sides => Math.floor(next() * sides)
  const pick = choices => choices[roll(choices.length)]
  const plainly = () => pick([
    1, 2.5, 'v', '😀', true, null, new Uint8Array([0, 255]), [1, { k: [null] }], { é: 'ü' }, 12345678901234567890n, undefined
  ])
  const listed = each => typeof each === 'bigint' ? [each] : each ?? null
  const types = [
    () => new Y.Map([['n', 1]]), () => Y.Array.from(['e']), () => new Y.Text('nested 😀'),
    () => new Y.Map([['deep', Y.Array.from([new Y.Text('!')])]]), () => new Y.Doc({ guid: `sub${roll(5)}` })
  ]
  const changeText = text => {
    const start = roll(text.length + 1)
    const length = Math.min(1 + roll(4), text.length - start)
    const what = roll(9)
    if (what >= 6 && length > 0) text.delete(start, length)
    else if (what === 5 && length > 0) text.format(start, length, pick(FORMATS))
    else if (what === 4) text.insertEmbed(start, roll(3) ? { image: 'x' } : new Y.Map([['in', 1]]))
    else if (what === 3) text.insert(start, pick(WORDS), pick(FORMATS))
    else text.insert(start, pick(WORDS))
  }
  const changeMap = map => {
    const key = pick(KEYS)
    const what = roll(6)
    if (what === 5) map.delete(key)
    else map.set(key, what === 4 ? pick(types)() : plainly())
  }
  const changeArray = array => {
    const start = roll(array.length + 1)
    const what = roll(6)
    if (what >= 4 && start < array.length) array.delete(start, Math.min(1 + roll(3), array.length - start))
    else if (what === 3) array.insert(start, [pick(types)()])
    else array.insert(start, Array.from({ length: 1 + roll(3) }, () => listed(plainly())))
  }
  const changeXml = xml => {
    const start = roll(xml.length + 1)
    const what = roll(8)
    if (what >= 6 && start < xml.length) xml.delete(start, 1)
    else if (what >= 4 && xml instanceof Y.XmlElement) {
      if (what === 4) xml.removeAttribute(pick(KEYS))
      else xml.setAttribute(pick(KEYS), pick(WORDS))
    } else if (what === 3) xml.insert(start, [new Y.XmlText(pick(WORDS))])
    else if (what === 2 && roll(3) === 0) xml.insert(start, [new Y.XmlHook('hook')])
    else xml.insert(start, [new Y.XmlElement(pick(['p', 'ul']))])
  }
  const change = type => {
    if (type instanceof Y.XmlHook || type instanceof Y.Map) changeMap(type)
    else if (type instanceof Y.XmlFragment) changeXml(type)
    else if (type instanceof Y.Array) changeArray(type)
    else changeText(type)
  }
  const all = roots => {
    const found = Object.values(roots)
    for (const type of found) {
      if (found.length > 12) break
      for (const item of type._map.values()) if (!item.deleted && item.content.type) found.push(item.content.type)
      for (let item = type._start; item !== null; item = item.right) {
        if (!item.deleted && item.content.type) found.push(item.content.type)
      }
    }
    return found
  }
  const updates = []
  const authors = []
  const docs = [1, 300, 4000000000].map((client, author) => {
    const doc = new Y.Doc()
    doc.clientID = client
    doc.on('update', (update, origin) => {
      if (origin !== 'others') {
        updates.push(Buffer.from(update).toString('base64'))
        authors.push(author)
      }
    })
    return [doc, open(doc)]
  })
  const steps = 2 + roll(30)
  for (let step = 0; step < steps; step++) {
    const [doc, roots] = pick(docs)
    if (roll(4) === 3) {
      const [other] = pick(docs)
      Y.applyUpdate(doc, Y.encodeStateAsUpdate(other, Y.encodeStateVector(doc)), 'others')
    } else {
      doc.transact(() => {
        for (let edits = 1 + roll(2); edits > 0; edits--) change(pick(all(roots)))
      })
    }
  }
  // A reader tidies up marks that say nothing, and sends that: it is in the log before the restore.
  const reader = new Y.Doc()
  reader.clientID = 9
  open(reader)
  const tidied = []
  reader.on('update', (update, origin) => {
    if (origin !== 'others') tidied.push(Buffer.from(update).toString('base64'))
  })
  for (const each of updates) Y.applyUpdate(reader, bytes(each), 'others')
  return { updates: [...updates, ...tidied], authors: [...authors, ...tidied.map(() => 3)], made: updates.length }
}

const asked = JSON.parse(readFileSync(process.argv[3], 'utf8'))
console.log(JSON.stringify(asked.map(process.argv[2] === 'make' ? make : show)))
