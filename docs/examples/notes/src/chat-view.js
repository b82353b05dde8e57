// Shows a chat. What people wrote only ever becomes text.

import { button, element, safeColor } from './elements.js'

const EMOJIS = ['✔', '♥', '☺']
const STILL_TYPING_MS = 3000
const EDITABLE_MS = 14 * 60_000 // the server lets nobody edit after chat_edit_window_s, 15 minutes

export function showChat (chat, archives, colorOf) {
  const { me, messages, reactions, awareness } = chat
  const [log, list, typing, form, input, earlier] =
    ['log', 'messages', 'typing', 'write', 'text', 'earlier'].map(id => document.getElementById(id))
  const shown = new Map() // message id -> its element
  const old = {} // messages from archives
  let editing = null // the id of the message that the input has

  function show (id) {
    const value = messages.get(id) ?? old[id]
    if (!value) {
      shown.get(id)?.remove()
      shown.delete(id)
      return
    }
    const item = element('li', { 'data-id': id, class: value.author === me.id ? 'own' : '' })
    const time = new Date(value.time)
    const clock = time.toLocaleTimeString([], { timeStyle: 'short' })
    const who = element('b', {}, value.name || value.author)
    who.style.color = safeColor(colorOf(value.author))
    item.append(who, ' ', element('time', { datetime: time.toISOString() }, clock))
    item.append(element('p', {}, value.deleted ? 'deleted' : value.text))
    if (value.edited) item.append(element('small', {}, 'edited'))
    if (!value.deleted && messages.has(id)) item.append(tools(id, value))
    const atEnd = log.scrollTop + log.clientHeight > log.scrollHeight - 40
    const before = shown.get(id)
    const next = [...shown.keys()].filter(each => each > id).sort()[0] // ids begin with their time
    shown.set(id, item)
    if (before) replace(before, item)
    else list.insertBefore(item, shown.get(next) ?? null)
    if (atEnd) log.scrollTop = log.scrollHeight
  }

  function replace (before, item) { // the button that has the focus keeps it
    const focused = [...before.querySelectorAll('button')].indexOf(document.activeElement)
    before.replaceWith(item)
    item.querySelectorAll('button')[focused]?.focus()
  }

  function tools (id, { author, text }) {
    const bar = element('span', { class: 'tools' })
    for (const emoji of EMOJIS) {
      const users = [...reactions.keys()].filter(key => key.startsWith(`${id} ${emoji} `))
      const own = users.includes(`${id} ${emoji} ${me.id}`)
      const label = users.length ? `${emoji} ${users.length}` : emoji
      bar.append(button(label, () => chat.react(id, emoji), { 'aria-pressed': String(own) }))
    }
    if (author === me.id) {
      if (editable(id)) bar.append(button('Edit', () => edit(id, text)))
      bar.append(button('Delete', () => chat.delete(id)))
    }
    return bar
  }

  function editable (id) {
    const { time, deleted } = messages.get(id) ?? { deleted: true }
    return !deleted && Date.now() - time < EDITABLE_MS
  }

  function edit (id, text) {
    editing = id
    input.value = text
    input.focus()
  }

  messages.observe(event => event.keysChanged.forEach(show))
  reactions.observe(event => {
    for (const id of new Set([...event.keysChanged].map(key => key.split(' ')[0]))) show(id)
  })

  const offer = () => { earlier.hidden = !archives.any() }
  archives.observe(offer)
  earlier.onclick = async () => {
    const taken = archives.take()
    offer()
    Object.assign(old, await taken)
    for (const id of Object.keys(old)) if (!shown.has(id)) show(id)
  }

  let stop
  const type = on => {
    clearTimeout(stop)
    if (on) stop = setTimeout(type, STILL_TYPING_MS, false)
    if (on !== Boolean(awareness.getLocalState()?.typing)) chat.typing(on)
  }
  input.oninput = () => type(input.value !== '')
  form.onsubmit = event => {
    event.preventDefault()
    const text = input.value.trim()
    if (text) editable(editing) ? chat.edit(editing, text) : chat.send(text)
    edit(null, '')
    type(false)
  }
  input.onkeydown = event => { if (event.key === 'Escape') edit(null, '') }
  awareness.on('change', () => {
    const names = [...awareness.getStates()]
      .filter(([client, state]) => client !== awareness.clientID && state.typing)
      .map(([, state]) => state.user?.name)
    const verb = names.length > 1 ? 'are' : 'is'
    typing.textContent = names.length ? `${names.join(', ')} ${verb} typing…` : ''
  })
}
