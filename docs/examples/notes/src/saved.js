// Tells whether all of a document is on the server's disk. How it knows: docs/saved.md

import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'

const PAIR = /[\ud800-\udbff][\udc00-\udfff]$/ // cut in two, an emoji would be lost
const SYNC = 0, STEP_1 = 0, DENIED = 2, ASK_MS = 1000, MAX_ASK_MS = 30_000

// Calls show({ state, unsaved, reason }) now and whenever it changes, and returns what ends that.
export function watchSaved (doc, provider, show) {
  const inserts = new Map() // client id -> clock: what comes before it may be unsaved
  const deletes = new Map() // client id -> [[from, to], ...]: deletions that may be unsaved
  const original = provider.messageHandlers.slice()
  let reason = '', shown = '', timer = null, wait = 0, fromServer = false

  const any = () => inserts.size + deletes.size > 0
  const look = () => {
    const unsaved = any()
    const saved = !unsaved && provider.synced
    if (saved) reason = ''
    const online = provider.wsconnected ? saved ? 'saved' : 'saving' : 'offline'
    const now = { state: reason ? 'refused' : online, unsaved, reason }
    if (unsaved && provider.synced) timer ??= setTimeout(ask, wait)
    else timer = clearTimeout(timer)
    if (saved) wait = ASK_MS
    if (shown !== (shown = JSON.stringify(now))) show(now)
  }
  const doubt = () => { // all of it: the server says anew what it has
    const { sv, ds } = Y.snapshot(doc)
    for (const [client, clock] of sv) inserts.set(client, clock)
    for (const [client, ranges] of ds.clients) deletes.set(client, pairs(ranges))
    wait = 0
  }
  const note = ({ origin, beforeState, afterState, deleteSet }) => {
    if (fromServer && origin === provider) return
    for (const [client, clock] of afterState) {
      if (clock > (beforeState.get(client) ?? 0)) inserts.set(client, clock)
    }
    for (const [client, ranges] of deleteSet.clients) {
      deletes.set(client, (deletes.get(client) ?? []).concat(pairs(ranges)))
    }
    look()
  }
  const confirm = update => { // whatever the server sends is on its disk, and all before it
    const { structs, ds } = Y.decodeUpdate(update)
    for (const { id, length } of structs) {
      if (inserts.get(id.client) <= id.clock + length) inserts.delete(id.client)
    }
    for (const [client, ranges] of ds.clients) {
      const left = without(deletes.get(client) ?? [], pairs(ranges))
      left.length ? deletes.set(client, left) : deletes.delete(client)
    }
  }
  const ask = () => { // for the last of each client's unsaved items, and so for all deletions
    const vector = Y.decodeStateVector(Y.encodeStateVector(doc))
    for (const [client, clock] of inserts) {
      const text = doc.store.clients.get(client).at(-1).content?.str ?? ''
      vector.set(client, clock - (PAIR.test(text) ? 2 : 1))
    }
    const encoder = encoding.createEncoder()
    encoding.writeVarUint(encoder, SYNC)
    encoding.writeVarUint(encoder, STEP_1)
    encoding.writeVarUint8Array(encoder, Y.encodeStateVector(vector))
    provider.ws.send(encoding.toUint8Array(encoder))
    wait = Math.min(Math.max(ASK_MS, 2 * wait), MAX_ASK_MS)
    timer = null
    look()
  }
  const status = ({ status }) => { if (status === 'connected') doubt(); look() }

  provider.messageHandlers[SYNC] = (encoder, decoder, self, fromSocket, type) => {
    const message = decoding.clone(decoder)
    fromServer = fromSocket // and from another tab otherwise
    original[SYNC](encoder, decoder, self, fromSocket, type)
    if (fromSocket && any() && decoding.readVarUint(message) !== STEP_1) {
      confirm(decoding.readVarUint8Array(message))
    }
    look()
  }
  provider.messageHandlers[DENIED] = (encoder, decoder, ...rest) => {
    const message = decoding.clone(decoder)
    if (decoding.readVarUint(message) === 0) reason = decoding.readVarString(message)
    original[DENIED](encoder, decoder, ...rest)
    look()
  }
  doc.on('afterTransaction', note)
  provider.on('status', status)
  doubt()
  look()
  return () => {
    clearTimeout(timer)
    doc.off('afterTransaction', note)
    provider.off('status', status)
    provider.messageHandlers = original
  }
}

const pairs = ranges => ranges.map(({ clock, len }) => [clock, clock + len])
const byStart = ([a], [b]) => a - b

// What is left of some ranges without others.
function without (ranges, others) {
  const left = []
  let next = 0
  others.sort(byStart)
  for (let [from, to] of ranges.sort(byStart)) {
    while (next < others.length && others[next][1] <= from) next++
    for (let i = next; i < others.length && others[i][0] < to; i++) {
      if (from < others[i][0]) left.push([from, others[i][0]])
      from = Math.max(from, others[i][1])
    }
    if (from < to) left.push([from, to])
  }
  return left
}
