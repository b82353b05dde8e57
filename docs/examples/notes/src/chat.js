// A chat beside a document: messages and reactions are maps, who is typing is in awareness.

import { v7 as uuid } from 'uuid'

const after = time => Math.max(Date.now(), time) // its author's other device may be ahead

export function openChat (doc, awareness, me) {
  const messages = doc.getMap('chat')
  const reactions = doc.getMap('chat-reactions')
  return {
    me, messages, reactions, awareness,
    send (text, time = Date.now()) {
      const message = { author: me.id, name: me.name, text, time, type: 'text' }
      messages.set(uuid({ msecs: time }), message)
    },
    edit (id, text) {
      const message = messages.get(id)
      messages.set(id, { ...message, text, edited: after(message.time) })
    },
    delete (id) {
      const { author, time, type } = messages.get(id)
      messages.set(id, { author, time, type, text: '', deleted: after(time) })
    },
    react (id, emoji, key = `${id} ${emoji} ${me.id}`) {
      reactions.has(key) ? reactions.delete(key) : reactions.set(key, Date.now())
    },
    typing: on => awareness.setLocalStateField('typing', on)
  }
}
