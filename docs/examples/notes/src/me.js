// Who sits at this browser. Where people sign in, this comes from your application instead.

const COLORS = ['#b3261e', '#8a5a00', '#2e6b2e', '#00677d', '#3d5afe', '#7b3fb5', '#a83279']

const any = list => list[Math.floor(Math.random() * list.length)]

// What localStorage has under a key, or from now on has.
function kept (key, otherwise) {
  const value = localStorage.getItem(key) ?? otherwise()
  localStorage.setItem(key, value)
  return value
}

export const me = {
  // Anybody may call himself guest-…, and nobody who has not signed in anything else.
  id: kept('notes-id', () => `guest-${crypto.getRandomValues(new Uint32Array(2)).join('-')}`),
  name: kept('notes-name', () => any(['Heron', 'Otter', 'Badger', 'Lynx', 'Wren', 'Hare'])),
  color: kept('notes-color', () => any(COLORS)),
  status: kept('notes-status', () => 'online'),

  keep (changes) {
    for (const [key, value] of Object.entries(changes)) localStorage.setItem(`notes-${key}`, value)
    Object.assign(me, changes)
  }
}
