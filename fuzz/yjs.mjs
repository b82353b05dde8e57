// Reads documents with Yjs: one request a line on standard input, one answer a line.
//
// Request:  { variants: { NAME: [HEX UPDATE, ...] }, kinds: { ROOT: 'text' | 'array' | ... } }
// Answer:   { variants: { NAME: PROBLEM }, clocks: { CLIENT: CLOCK }, values: { ROOT: VALUE } }
// With `doubted: true` the answer says too whether some item of the variant `log` is `misplaced`.
//
// Each variant is applied update by update to a document of its own; all have to come out as the
// first. What is compared is everything that can be seen, whatever kind an application takes a
// root for: the items that are not deleted, with their formats.

import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'

const require = createRequire(new URL('../tests/interop/package.json', import.meta.url))
const Y = require('yjs')

const GETTERS = { text: 'getText', array: 'getArray', map: 'getMap', xml: 'getXmlFragment' }

const sorted = object => Object.keys(object).sort()

// What JSON has words for, as `crdtsync.content` says it.
const plain = value => {
  if (value === undefined || value === null) return null
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value !== 'object') return value
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (value instanceof Y.Doc) return null
  if (value instanceof Y.Map) {
    return Object.fromEntries([...value.keys()].sort().map(key => [key, plain(value.get(key))]))
  }
  if (value instanceof Y.Array) return value.toArray().map(plain)
  // Markup is each library's own rendering: what it renders is compared item by item.
  if (value instanceof Y.AbstractType && /^YXml/.test(value.constructor.name)) return { markup: true }
  if (value instanceof Y.AbstractType) return value.toString()
  if (Array.isArray(value)) return value.map(plain)
  return Object.fromEntries(sorted(value).map(key => [key, plain(value[key])]))
}

const content = item => {
  const it = item.content
  switch (it.constructor.name) {
    case 'ContentAny': return it.arr.map(plain)
    case 'ContentBinary': return { bytes: plain(it.content) }
    case 'ContentEmbed': return { embed: plain(it.embed) }
    case 'ContentDoc': return { doc: it.doc.guid }
    case 'ContentType': return seen(it.type)
    default: return { what: it.constructor.name }
  }
}

// Everything that can be seen of a shared type.
const seen = type => {
  const list = []
  const formats = {}
  for (let item = type._start; item !== null; item = item.right) {
    if (item.deleted) continue
    const it = item.content
    if (it instanceof Y.ContentFormat) {
      if (it.value === null) delete formats[it.key]
      else formats[it.key] = JSON.stringify(plain(it.value))
      continue
    }
    const style = sorted(formats).map(key => key + '=' + formats[key]).join()
    const last = list[list.length - 1]
    if (it instanceof Y.ContentString) {
      if (last !== undefined && last.style === style && last.text !== undefined) last.text += it.str
      else list.push({ style, text: it.str })
    } else {
      list.push({ style, value: content(item) })
    }
  }
  const map = {}
  for (const key of [...type._map.keys()].sort()) {
    const item = type._map.get(key)
    if (!item.deleted) map['.' + key] = item.content instanceof Y.ContentString ? item.content.str : content(item)
  }
  const named = type.nodeName ?? ''
  return { kind: type.constructor.name + named, list, map }
}

// As a local edit: on remote ones Yjs takes away formats that look superfluous at that moment, as
// an edit of its own. Its clients send that edit; here nobody would.
const apply = (doc, update) => doc.transact(transaction => {
  Y.applyUpdate(doc, update)
  transaction.local = true
})

const read = updates => {
  const doc = new Y.Doc()
  try {
    for (const update of updates) apply(doc, Buffer.from(update, 'hex'))
  } catch (error) {
    return { problem: `Yjs throws ${error}` }
  }
  if (doc.store.pendingStructs !== null) return { problem: 'Yjs waits for structs' }
  if (doc.store.pendingDs !== null) return { problem: 'Yjs waits for what is deleted' }
  const clocks = Object.fromEntries([...Y.decodeStateVector(Y.encodeStateVector(doc))].sort((a, b) => a[0] - b[0]))
  const roots = {}
  for (const name of [...doc.share.keys()].sort()) {
    const root = seen(doc.share.get(name))
    if (root.list.length > 0 || Object.keys(root.map).length > 0) roots['.' + name] = root
  }
  return { doc, clocks, text: JSON.stringify([clocks, roots]) }
}

const id = (client, clock) => client + ':' + clock

// Whether some item lies about its place: between its two neighbours stands one that its author
// is known to have known, because it, or a later one of the same client, was referred to. No
// Yjs client writes such an item, and Yjs documents that get it at different moments differ.
const misplaced = updates => {
  const doc = new Y.Doc({ gc: false })
  const known = new Map() // of each client: what it knew with its newest item
  const learnt = new Map() // of each item: the same
  const join = (into, from) => {
    for (const [client, clock] of from ?? []) into.set(client, Math.max(clock, into.get(client) ?? -1))
  }
  const knew = id => {
    const all = new Map([[id.client, id.clock]])
    for (let clock = id.clock; clock >= 0; clock--) {
      const found = learnt.get(id.client + ':' + clock)
      if (found !== undefined) {
        join(all, found)
        break
      }
    }
    return all
  }
  for (const update of updates) {
    const bytes = Buffer.from(update, 'hex')
    const items = Y.decodeUpdate(bytes).structs.filter(struct => struct instanceof Y.Item)
    apply(doc, bytes)
    let left = [...items]
    while (left.length > 0) {
      const before = left.length
      left = left.filter(item => {
        const refs = [item.origin, item.rightOrigin, item.parent instanceof Y.ID ? item.parent : null]
        if (refs.some(ref => ref !== null && left.some(other => other !== item &&
          other.id.client === ref.client && other.id.clock <= ref.clock && ref.clock < other.id.clock + other.length))) return true
        const own = known.get(item.id.client) ?? new Map()
        for (const ref of refs) if (ref !== null) join(own, knew(ref))
        known.set(item.id.client, own)
        learnt.set(id(item.id.client, item.id.clock), new Map(own))
        own.set(item.id.client, item.id.clock + item.length - 1)
        return false
      })
      if (left.length === before) return true // they refer to one another in a circle
    }
    for (const item of items) {
      const own = learnt.get(id(item.id.client, item.id.clock))
      if (lies(doc, item, own)) return true
    }
  }
  return false
}

const lies = (doc, item, own) => {
  const structs = doc.store.clients.get(item.id.client)
  const here = structs[Y.findIndexSS(structs, item.id.clock)]
  if (!(here instanceof Y.Item) || here.parentSub !== null) return false
  const client = item.id.client
  const knows = (other, first) =>
    (own.get(other.id.client) ?? -1) >= first && !(other.id.client === client && first >= item.id.clock)
  const between = (from, to) => {
    for (let other = from; other !== null; other = other.right) {
      const ends = to !== null && other.id.client === to.client &&
        other.id.clock <= to.clock && to.clock < other.id.clock + other.length
      if (ends) return to.clock > other.id.clock && knows(other, other.id.clock)
      if (knows(other, other.id.clock)) return true
    }
    return to !== null
  }
  if (item.origin === null) return between(here.parent._start, item.rightOrigin)
  const before = doc.store.clients.get(item.origin.client)
  const start = before[Y.findIndexSS(before, item.origin.clock)]
  if (!(start instanceof Y.Item)) return false
  // Yjs has put neighbours together, perhaps the item itself with what it stands behind.
  const behind = item.origin.clock + 1
  if (start !== here && behind < start.id.clock + start.length && knows(start, behind)) return true
  return between(start.right, item.rightOrigin)
}

const judge = ({ variants, kinds, doubted }) => {
  const answer = { variants: {}, clocks: {}, values: null }
  let first = null
  for (const name of Object.keys(variants)) {
    const own = read(variants[name])
    if (first === null) first = own
    if (own.problem !== undefined) answer.variants[name] = own.problem
    else if (first.problem === undefined && own.text !== first.text) {
      answer.variants[name] = `Yjs reads ${own.text} and not ${first.text}`
    }
  }
  if (first !== null && first.problem === undefined) {
    answer.clocks = first.clocks
    if (kinds) {
      answer.values = {}
      for (const name of Object.keys(kinds)) {
        try {
          const root = first.doc[GETTERS[kinds[name]]](name)
          answer.values[name] = plain(root)
        } catch (error) {
          answer.variants.values = `Yjs can't read a root: ${error}`
        }
      }
    }
  }
  if (doubted) {
    try {
      answer.misplaced = misplaced(variants.log)
    } catch (error) {
      answer.misplaced = false
    }
  }
  return answer
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer
  try {
    answer = judge(JSON.parse(line))
  } catch (error) {
    answer = { variants: { child: `${error.stack}` }, clocks: {}, values: null }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
