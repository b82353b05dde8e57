// A Quill editor for a Y.Text, with everybody's cursors.

import Quill from 'quill'
import QuillCursors from 'quill-cursors'
import { QuillBinding } from 'y-quill'
import 'quill/dist/quill.snow.css'

Quill.register('modules/cursors', QuillCursors)

export function openEditor (text, awareness, selector) {
  const quill = new Quill(selector, {
    theme: 'snow',
    placeholder: 'Write something…',
    modules: {
      cursors: { transformOnTextChange: true },
      history: { userOnly: true }, // undo takes back one's own edits
      // Who works by keyboard gets out of the editor again.
      keyboard: { bindings: { tab: { key: 'Tab', handler: () => true } } },
      toolbar: [[{ header: [1, 2, false] }], ['bold', 'italic', 'link'], [{ list: 'bullet' }]]
    }
  })
  quill.root.setAttribute('role', 'textbox')
  quill.root.setAttribute('aria-multiline', 'true')
  quill.root.setAttribute('aria-label', 'Notes')
  return new QuillBinding(text, quill, awareness)
}
