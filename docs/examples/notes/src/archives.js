// The old messages of a chat: the server moves them into documents of their own.

import * as Y from 'yjs'
import { connect } from './document.js'

export function openArchives (name, doc) {
  const list = doc.getMap('chat-archives')
  const taken = new Set()
  // Numbers; what has a slash in it belongs to a thread.
  const left = () => [...list.keys()].filter(key => !key.includes('/') && !taken.has(key)).sort()
  return {
    any: () => left().length > 0,
    observe: call => list.observe(call),

    // Takes the newest one that is left, and returns its messages by id.
    async take () {
      const number = left().at(-1)
      taken.add(number)
      const archive = new Y.Doc()
      const provider = connect(`${name}/chat-archive/${number}`, archive)
      await new Promise(resolve => provider.once('sync', resolve))
      const messages = archive.getMap('chat').toJSON()
      provider.destroy()
      archive.destroy()
      return messages
    }
  }
}
