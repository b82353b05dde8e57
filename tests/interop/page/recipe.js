// What an application does about refused edits: the recipe of docs/refusals.md, in a page.

import { readAuthMessage } from 'y-protocols/auth'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { look, offer } from './until.js'

const START_AFRESH = 4409

function openDocument (url, name, params, app) {
  const doc = new Y.Doc()
  // Without disableBc another tab would put the refused edit into the fresh document again.
  const provider = new WebsocketProvider(url, name, doc, { params, disableBc: true })
  provider.messageHandlers[2] = (_encoder, decoder) =>
    readAuthMessage(decoder, doc, (_doc, reason) => app.denied(reason))
  provider.on('connection-close', event => {
    if (event?.code !== START_AFRESH) return
    provider.destroy()
    doc.destroy()
    openDocument(url, name, params, app)
  })
  app.opened(doc, provider)
}

const query = new URLSearchParams(location.search)
const show = (id, text) => { document.getElementById(id).textContent = text }

const editor = {
  opened: 0,
  events: [],
  notice: () => document.getElementById('notice').textContent,
  shown: () => document.getElementById('text').textContent,
  map: () => editor.doc.getMap('map').toJSON(),
  write: text => { editor.doc.getText('text').insert(editor.doc.getText('text').length, text) },
  set: (key, value) => { editor.doc.getMap('map').set(key, value) },
  contents: () => [editor.shown(), editor.notice(), editor.events],
  cursors: () => []
}

openDocument(query.get('server'), query.get('room'), { token: query.get('token') }, {
  denied (reason) {
    show('notice', `Your edit was not taken: ${reason}`)
    look()
  },
  opened (doc, provider) {
    Object.assign(editor, { doc, provider, opened: editor.opened + 1 })
    provider.on('status', ({ status }) => { editor.events.push(status); look() })
    provider.on('sync', look)
    const text = doc.getText('text')
    show('text', '')
    text.observe(() => show('text', text.toString()))
    doc.on('update', look)
  }
})

offer(editor)
