// Who is here: the map `presence`, which the server keeps true, and awareness, which is at once.

export function openPresence (doc, provider, me) {
  const { awareness } = provider
  const map = doc.getMap('presence')

  const say = () => {
    const { status, name, color } = me
    awareness.setLocalStateField('guest', me.id)
    awareness.setLocalStateField('user', { name, color })
    if (!provider.synced) return // what is written offline would arrive when it is long past
    // By writing its key a connection tells the server which guest it is.
    const first = { lastSeen: Date.now(), connections: 1 } // from then on the server's
    map.set(me.id, { ...first, ...map.get(me.id), status, name, color })
  }

  say()
  provider.on('sync', say)
  // The server takes one for gone whose other tab was closed.
  map.observe(() => { if (map.get(me.id)?.status === 'offline') setTimeout(say) })

  return {
    say,
    colorOf: id => map.get(id)?.color,

    // Everybody who was ever here, who is here first; several tabs of one person are one.
    people () {
      const tabs = new Map()
      for (const { guest, user } of awareness.getStates().values()) {
        const id = user?.id ?? guest
        if (typeof id !== 'string') continue
        tabs.set(id, { ...user, id, count: (tabs.get(id)?.count ?? 0) + 1 })
      }
      const all = [...new Set([...tabs.keys(), ...map.keys()])].map(id => {
        const kept = map.get(id)
        const here = tabs.get(id)
        const said = kept?.status ?? 'offline'
        const status = !here ? 'offline' : said === 'offline' ? 'online' : said
        return { name: id, ...here, ...kept, id, status, tabs: here?.count ?? 0 }
      })
      const rank = ({ tabs, name }) => `${tabs ? 0 : 1}${name}`
      return all.sort((a, b) => rank(a) < rank(b) ? -1 : 1)
    },

    observe (call) {
      map.observe(call)
      awareness.on('change', call)
    }
  }
}
