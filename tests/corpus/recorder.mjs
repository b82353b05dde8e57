// What a case of the corpus is recorded with: seeded clients, and what Yjs says about updates.

import { createRequire } from 'node:module'
import { deflateSync } from 'node:zlib'

const require = createRequire(new URL('../interop/package.json', import.meta.url))
export const Y = require('yjs')

const GC = 0
const SKIP = 10
const COMPRESS_ABOVE = 600

// mulberry32
export const randomOf = seed => {
  let a = seed >>> 0
  const next = () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  return {
    next,
    int: (low, high) => low + Math.floor(next() * (high - low + 1)),
    pick: list => list[Math.floor(next() * list.length)],
    word: () => Array.from({ length: 1 + Math.floor(next() * 8) },
      () => 'abcdefghijklmnopqrstuvwxyz'[Math.floor(next() * 26)]).join(''),
    shuffle: list => {
      const copy = [...list]
      for (let i = copy.length - 1; i > 0; i--) {
        const j = Math.floor(next() * (i + 1));
        [copy[i], copy[j]] = [copy[j], copy[i]]
      }
      return copy
    }
  }
}

// Base64, behind `z:` where it is compressed.
const pack = bytes => bytes.length > COMPRESS_ABOVE
  ? 'z:' + deflateSync(bytes, { level: 9 }).toString('base64')
  : Buffer.from(bytes).toString('base64')

const idOf = id => id === null ? null : [id.client, id.clock]

// [client, clock, length, kind, origin, right origin, parent, key], without the nulls at its end.
const structOf = struct => {
  const kind = struct.content ? struct.content.getRef() : struct.constructor.name === 'Skip' ? SKIP : GC
  const row = [struct.id.client, struct.id.clock, struct.length, kind]
  if (struct.content) {
    const parent = struct.parent
    row.push(
      idOf(struct.origin), idOf(struct.rightOrigin),
      parent === null || typeof parent === 'string' ? parent : idOf(parent), struct.parentSub
    )
  }
  while (row.at(-1) === null) row.pop()
  return row
}

const describe = (update, yjs = Y) => {
  const { structs, ds } = yjs.decodeUpdate(update)
  const deletes = []
  const rangesOf = entry => Array.isArray(entry) ? entry : entry.getIds()
  for (const [client, entry] of ds.clients) {
    for (const { clock, len } of rangesOf(entry)) deletes.push([client, clock, clock + len])
  }
  const described = { update: pack(update), structs: structs.map(structOf), deletes }
  if (yjs.parseUpdateMeta) {
    const { from, to } = yjs.parseUpdateMeta(update)
    described.from = [...from]
    described.to = [...to]
  }
  return described
}

// What JSON can't say is put behind a `$` key.
const plain = value => {
  if (value === undefined) return { $: 'undefined' }
  if (typeof value === 'bigint') return { $: 'bigint', value: String(value) }
  if (value instanceof Uint8Array) return { $: 'bytes', value: Buffer.from(value).toString('base64') }
  if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))) {
    return { $: 'number', value: Object.is(value, -0) ? '-0' : String(value) }
  }
  if (Array.isArray(value)) return value.map(plain)
  if (value === null || typeof value !== 'object') return value
  if (value.guid && value.getSubdocs) return { $: 'doc', guid: value.guid }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

export const contentOf = type => {
  if (type instanceof Y.XmlText || type instanceof Y.XmlElement || type instanceof Y.XmlFragment) {
    return { xml: type.toString() }
  }
  if (type instanceof Y.Text) return { text: type.toString(), delta: plain(type.toDelta()) }
  return type instanceof Y.Map ? { map: plain(type.toJSON()) } : { array: plain(type.toJSON()) }
}

// What another client sees; the writer's own copy may still hold half surrogate pairs.
const reloaded = (state, roots) => {
  const doc = new Y.Doc()
  Y.applyUpdate(doc, state)
  return Object.fromEntries(
    roots.map(([name, type]) => [name, contentOf(doc.get(name, type.constructor))])
  )
}

class Recorder {
  constructor (seed) {
    this.random = randomOf(seed)
    this.updates = []
    this.held = new Map()
  }

  // A document whose every update is recorded.
  client (clientID, options = {}) {
    const doc = new Y.Doc({ guid: `doc-${clientID}`, ...options })
    doc.clientID = clientID
    doc.on('update', (update, origin) => {
      if (origin !== 'remote') this.updates.push(update)
    })
    return doc
  }

  // Record an update that was made in another way than by an edit.
  keep (...updates) { this.updates.push(...updates) }

  apply (doc, update) { Y.applyUpdate(doc, update, 'remote') }

  // Bring all these documents to one state.
  meet (...docs) {
    for (const to of docs) {
      for (const from of docs) {
        if (to !== from) this.apply(to, Y.encodeStateAsUpdate(from, Y.encodeStateVector(to)))
      }
    }
  }
}

export const record = ({ name, seed, run }) => {
  const recorder = new Recorder(seed)
  const { doc, yjs = Y, content } = run(recorder)
  const state = yjs.encodeStateAsUpdate(doc)
  const roots = content ?? reloaded(state, [...doc.share].sort())
  return {
    case: name,
    updates: recorder.updates.map(update => describe(update, yjs)),
    state: describe(state, yjs),
    content: roots
  }
}

// One update a line keeps the files readable in a diff.
export const format = ({ updates, ...rest }) => {
  const head = Object.entries(rest).map(([key, value]) => `"${key}":${JSON.stringify(value)}`)
  return `{${head.join(',\n')},\n"updates":[\n${updates.map(u => JSON.stringify(u)).join(',\n')}\n]}\n`
}
