// One Quill editor bound to one document. esbuild puts in the versions under test (test_browser.py).

import Quill from 'quill'
import QuillCursors from 'quill-cursors'
import { QuillBinding } from 'y-quill'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { look, offer } from './until.js'
import 'quill/dist/quill.snow.css'

const query = new URLSearchParams(location.search)
const name = query.get('name')

Quill.register('modules/cursors', QuillCursors)

const doc = new Y.Doc()
const provider = new WebsocketProvider(query.get('server'), query.get('room'), doc, {
  maxBackoffTime: 400
})
const quill = new Quill('#editor', {
  theme: 'snow',
  modules: { cursors: { transformOnTextChange: true }, toolbar: [['bold', 'italic', 'link']] }
})
const binding = new QuillBinding(doc.getText('quill'), quill, provider.awareness)
provider.awareness.setLocalStateField('user', { name, color: name === 'ann' ? '#c33' : '#36c' })
document.title = name

for (const event of ['status', 'sync', 'connection-close']) provider.on(event, look)
doc.on('update', look)
provider.awareness.on('update', look)
new MutationObserver(look).observe(document.body, {
  subtree: true, childList: true, attributes: true, characterData: true
})

const editor = {
  binding,
  doc,
  provider,
  quill,
  text: () => quill.getText(),
  contents: () => quill.getContents().ops,
  stored: () => doc.getText('quill').toDelta(),
  cursors: () => [...document.querySelectorAll('.ql-cursor-name')].map(node => node.textContent).sort(),
  caret: () => quill.getSelection()?.index ?? -1
}

offer(editor)
