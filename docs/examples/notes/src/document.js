// One document, on the server and in this browser.

import { IndexeddbPersistence } from 'y-indexeddb'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

const SERVER = import.meta.env.VITE_SERVER ?? 'ws://localhost:1234'

export function openDocument (name) {
  const doc = new Y.Doc()
  const stored = new IndexeddbPersistence(name, doc)
  const provider = connect(name, doc)
  // A page that was left may live on, hidden, for the way back to it.
  addEventListener('pagehide', () => provider.disconnect())
  addEventListener('pageshow', () => provider.connect())
  return { doc, stored, provider }
}

export function connect (name, doc) {
  return new WebsocketProvider(SERVER, encodeURIComponent(name), doc, {
    params: { ack: '1' }, // own edits come back once they are on the server's disk
    disableBc: true // tabs meet on the server, so that none has what it refused to another
  })
}

export const historyAddress = name => SERVER.replace(/^ws/, 'http') +
  `/documents/${name.split('/').map(encodeURIComponent).join('/')}/history`
