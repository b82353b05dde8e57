// Runs real Yjs clients for the tests: one JSON request per line on stdin, one JSON reply per
// line on stdout. Requests name a client; several clients, of several versions, live side by side.
// `until` replies as soon as its condition holds (looked at after every event of that client).

import { register } from 'node:module'
import * as readline from 'node:readline'
import WebSocket from 'ws'
import * as Y13 from 'yjs'
import * as Y14 from '@y/y'
import * as v15 from 'y-websocket-1.5'
import * as v21 from 'y-websocket-2.1'
import * as v30 from 'y-websocket-3.0'
import * as v31 from 'y-websocket-3.1'
import * as rc from 'y-websocket-3.1-rc'
import * as v40 from '@y/websocket'

// A module of the documentation finds its packages here.
register('data:text/javascript,' + encodeURIComponent(`
  export const resolve = (name, context, next) => next(name, context.parentURL?.includes('/docs/')
    && !name.startsWith('file:') ? { ...context, parentURL: ${JSON.stringify(import.meta.url)} } : context)
`))
const { watchSaved } = await import('../../docs/examples/notes/src/saved.js')

// `resyncInterval` looks at the global's OPEN even where a polyfill is given.
globalThis.WebSocket = WebSocket
process.setMaxListeners(0)

const versions = {
  1.5: { Provider: v15.WebsocketProvider, Y: Y13 },
  2.1: { Provider: v21.WebsocketProvider, Y: Y13 },
  '3.0': { Provider: v30.WebsocketProvider, Y: Y13 },
  3.1: { Provider: v31.WebsocketProvider, Y: Y13 },
  '3.1-rc': { Provider: rc.WebsocketProvider, Y: Y13 },
  '4.0': { Provider: v40.WebsocketProvider, Y: Y14 }
}

// Yjs 13 has one class per shared type, Yjs 14 one class for all.
const views = new Map([
  [Y13, {
    text: doc => doc.getText('text'),
    set: (doc, key, value) => doc.getMap('map').set(key, value),
    map: doc => doc.getMap('map').toJSON()
  }],
  [Y14, {
    text: doc => doc.get('text'),
    set: (doc, key, value) => doc.get('map').setAttr(key, value),
    map: doc => ({ ...doc.get('map').getAttrs() })
  }]
])

const FRAME_NAMES = [['step1', 'step2', 'update'], 'awareness', 'auth', 'query']

const frameName = data => {
  const name = FRAME_NAMES[data[0]]
  return Array.isArray(name) ? name[data[1]] : name
}

const warnings = []
console.warn = (...parts) => warnings.push(parts.join(' '))

class Client {
  constructor ({ version, server, room, fragment = 0, state, text = '', saved, ...options }) {
    const { Provider, Y } = versions[version]
    this.Y = Y
    this.view = views.get(Y)
    this.doc = new Y.Doc()
    this.text = this.view.text(this.doc)
    if (text) this.text.insert(0, text)
    this.events = {}
    this.frames = {}
    this.largest = 0
    this.waiters = new Set()
    this.typing = null
    this.last = { close: null, closed: null, syncStatus: null, saved: null, reason: null }
    this.onDisk = null // the document when it was last said to be saved, as an update
    const client = this
    class Socket extends WebSocket {
      constructor (url, protocols) {
        super(url, protocols)
        // A provider that ends while it connects has taken its own handlers off by then.
        this.on('error', () => {})
        this.on('message', message => {
          const data = new Uint8Array(message)
          const name = frameName(data)
          client.frames[name] = (client.frames[name] ?? 0) + 1
          client.largest = Math.max(client.largest, data.length)
          setImmediate(() => client.look())
        })
      }

      send (data, ...rest) {
        if (!fragment || data.length <= fragment) return super.send(data, ...rest)
        for (let start = 0; start < data.length; start += fragment) {
          const fin = start + fragment >= data.length
          super.send(data.slice(start, start + fragment), { binary: true, fin })
        }
      }
    }
    this.provider = new Provider(server, room, this.doc, {
      WebSocketPolyfill: Socket, disableBc: true, connect: false, ...options
    })
    this.awareness = this.provider.awareness
    const count = name => {
      this.events[name] = (this.events[name] ?? 0) + 1
      this.look()
    }
    this.provider.on('status', ({ status }) => count(status))
    this.provider.on('sync', synced => count(synced ? 'synced' : 'unsynced'))
    this.provider.on('connection-error', () => count('connection-error'))
    this.provider.on('connection-close', event => {
      this.last.close = event && { code: event.code, reason: event.reason }
      count('connection-close')
    })
    this.provider.on('closed', event => { this.last.closed = event; count('closed') })
    this.provider.on('sync-status', event => {
      this.last.syncStatus = event.status
      count('sync-status ' + event.status)
    })
    this.doc.on('update', () => this.look())
    this.awareness.on('update', () => this.look())
    this.awareness.on('change', ({ removed }) => { for (const id of removed) count(`left ${id}`) })
    if (saved) watchSaved(this.doc, this.provider, shown => this.show(shown))
    if (state !== undefined) this.awareness.setLocalState(state)
    if (options.connect !== false) this.provider.connect()
  }

  show ({ state, unsaved, reason }) {
    Object.assign(this.last, { saved: state, unsaved, reason })
    this.events[state] = (this.events[state] ?? 0) + 1
    if (state === 'saved') this.onDisk = this.Y.encodeStateAsUpdate(this.doc)
    this.look()
  }

  read () {
    return {
      id: this.doc.clientID,
      text: this.text.toString(),
      length: this.text.length,
      map: this.view.map(this.doc),
      synced: this.provider.synced,
      connected: this.provider.wsconnected,
      states: Object.fromEntries(this.awareness.getStates()),
      clocks: Object.fromEntries([...this.awareness.meta].map(([id, { clock }]) => [id, clock])),
      events: this.events,
      frames: this.frames,
      largest: this.largest,
      ...this.last,
      unconfirmed: this.provider.unconfirmedUpdates?.length ?? null,
      warnings: warnings.filter(line => line.includes(this.provider.url))
    }
  }

  look () {
    for (const waiter of this.waiters) waiter()
  }

  holds ({
    text, length, prefix, contains, map, synced, connected, peers, events, frames, warning,
    syncStatus, unconfirmed, saved
  }) {
    const now = this.text.toString()
    const counts = (wanted, seen) =>
      Object.entries(wanted).every(([name, n]) => (seen[name] ?? 0) >= n)
    return (text === undefined || now === text) &&
      (length === undefined || now.length >= length) &&
      (prefix === undefined || now.startsWith(prefix)) &&
      (contains === undefined || contains.every(part => now.includes(part))) &&
      (map === undefined || JSON.stringify(map) === JSON.stringify(this.view.map(this.doc))) &&
      (synced === undefined || this.provider.synced === synced) &&
      (connected === undefined || this.provider.wsconnected === connected) &&
      (peers === undefined || this.hasPeers(peers)) &&
      (events === undefined || counts(events, this.events)) &&
      (frames === undefined || counts(frames, this.frames)) &&
      (warning === undefined || this.read().warnings.some(line => line.includes(warning))) &&
      (saved === undefined || this.last.saved === saved) &&
      (syncStatus === undefined || this.last.syncStatus === syncStatus) &&
      (unconfirmed === undefined || this.provider.unconfirmedUpdates.length === unconfirmed)
  }

  hasPeers (names) {
    const others = [...this.awareness.getStates()].filter(([id]) => id !== this.doc.clientID)
    return JSON.stringify(others.map(([, state]) => state.name).sort()) === JSON.stringify(names)
  }

  until ({ condition, timeout }) {
    if (this.holds(condition)) return this.read()
    return new Promise((resolve, reject) => {
      const finish = settle => {
        clearTimeout(timer)
        this.waiters.delete(waiter)
        settle()
      }
      const waiter = () => this.holds(condition) && finish(() => resolve(this.read()))
      const timer = setTimeout(() => finish(() => {
        const { text, ...rest } = this.read()
        reject(new Error(`timed out; ${JSON.stringify({ text: text.slice(0, 200), ...rest })}`))
      }), timeout * 1000)
      this.waiters.add(waiter)
    })
  }

  insert ({ at, text }) { this.text.insert(at < 0 ? this.text.length : at, text) }

  remove ({ at, length }) { this.text.delete(at, length) }

  // Types and deletes a little, here and there.
  scribble ({ edits }) {
    for (let edit = 0; edit < edits; edit++) {
      const at = Math.floor(Math.random() * this.text.length)
      if (Math.random() < 0.4) this.text.delete(at, Math.min(3, this.text.length - at))
      else this.text.insert(at, 'abc')
    }
  }

  // What another provider brings, such as y-indexeddb.
  bring ({ update }) { this.Y.applyUpdate(this.doc, Buffer.from(update, 'base64'), 'another') }

  carry () { return Buffer.from(this.Y.encodeStateAsUpdate(this.doc)).toString('base64') }

  // What another client was last told to be on the disk.
  seen () { return this.onDisk && Buffer.from(this.onDisk).toString('base64') }

  has ({ update }) {
    const { Y } = this
    return Y.snapshotContainsUpdate(Y.snapshot(this.doc), Buffer.from(update, 'base64'))
  }

  set ({ key, value }) { this.view.set(this.doc, key, value) }

  present ({ state }) { this.awareness.setLocalState(state) }

  type ({ word, every }) {
    this.words = 0
    this.typing = setInterval(
      () => this.text.insert(this.text.length, `${word}${this.words++} `), every
    )
  }

  rest () {
    clearInterval(this.typing)
    return this.words
  }

  connect () { this.provider.connect() }

  disconnect () { this.provider.disconnect() }

  destroy () {
    this.rest()
    this.provider.destroy()
    this.awareness.destroy()
    this.doc.destroy()
  }

  // Others are told that this client is gone, and the connection stays: what `disconnect` says first.
  goodbye () { this.provider.disconnectBc() }

  // The socket goes away without a closing handshake, and the client comes back.
  drop () { this.provider.ws?._socket?.destroy() }

  // The socket goes away without a closing handshake, and the client does not come back.
  cut () {
    this.provider.shouldConnect = false
    this.provider.ws._socket.destroy()
  }
}

const clients = new Map()

const perform = ({ op, client, ...args }) => {
  if (op === 'open') {
    clients.set(client, new Client(args))
    return clients.get(client).read()
  }
  const target = clients.get(client)
  if (op === 'destroy') clients.delete(client)
  return target[op](args)
}

const answer = reply => process.stdout.write(JSON.stringify(reply) + '\n')

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { id, ...request } = JSON.parse(line)
  Promise.resolve().then(() => perform(request)).then(
    value => answer({ id, value: value ?? null }),
    error => answer({ id, error: String(error.stack ?? error) })
  )
}
process.exit(0)
