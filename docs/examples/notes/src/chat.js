// A chat beside a document: two maps, and `typing` in awareness.

import { v7 as uuid } from 'uuid'
import * as Y from 'yjs'
import { connect } from './document.js'

export function openChat (name, doc, awareness, me) {
  const messages = doc.getMap('chat')
  const reactions = doc.getMap('chat-reactions')
  const archives = doc.getMap('chat-archives')
  return {
    me, messages, reactions, archives, awareness,

    send (text) {
      const time = Date.now()
      const message = { author: me.id, name: me.name, text, time, type: 'text' }
      messages.set(uuid({ msecs: time }), message)
    },
    edit (id, text) {
      messages.set(id, { ...messages.get(id), text, edited: Date.now() })
    },
    delete (id) {
      const { author, time, type } = messages.get(id)
      messages.set(id, { author, time, type, text: '', deleted: Date.now() })
    },
    react (id, emoji) {
      const key = `${id} ${emoji} ${me.id}`
      if (reactions.has(key)) reactions.delete(key)
      else reactions.set(key, Date.now())
    },
    typing (on) {
      awareness.setLocalStateField('typing', on)
    },

    // The server moves old messages into documents of their own.
    async earlier (number) {
      const archive = new Y.Doc()
      const provider = connect(`${name}/chat-archive/${number}`, archive)
      await new Promise(resolve => provider.once('sync', resolve))
      const found = archive.getMap('chat').toJSON()
      provider.destroy()
      archive.destroy()
      return found
    }
  }
}
