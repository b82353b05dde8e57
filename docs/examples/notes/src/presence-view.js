// Shows who is here, and lets people say how they are.

import { element, safeColor } from './elements.js'

const when = time => new Date(time).toLocaleString([], { dateStyle: 'short', timeStyle: 'short' })

export function showPeople (presence, me) {
  const list = document.getElementById('people')
  const name = document.getElementById('name')
  const status = document.getElementById('status')

  const show = () => list.replaceChildren(...presence.people().map(person => {
    const item = element('li', { 'data-status': person.status })
    const who = element('b', {}, person.name || person.id)
    who.style.color = safeColor(person.color)
    const notes = [person.status]
    if (person.id === me.id) notes.unshift('you')
    if (person.tabs > 1) notes.push(`${person.tabs} tabs`)
    if (!person.tabs && person.lastSeen) notes.push(`seen ${when(person.lastSeen)}`)
    const dot = element('i', { 'aria-hidden': 'true' })
    item.append(dot, who, ' ', element('small', {}, notes.join(', ')))
    return item
  }))

  name.value = me.name
  status.value = me.status
  document.getElementById('me').onsubmit = event => event.preventDefault()
  name.onchange = () => {
    if (!name.value.trim()) return
    me.keep({ name: name.value.trim() })
    presence.say()
  }
  status.onchange = () => {
    me.keep({ status: status.value })
    presence.say()
  }
  presence.observe(show)
  show()
}
