// Shows whether all is saved, and what to do where it never will be.

const place = document.getElementById('saved')
const discard = document.getElementById('discard')

const WORDS = {
  saving: () => 'Saving…',
  saved: () => 'Saved',
  offline: unsaved => unsaved ? 'Offline: your changes are kept in this browser' : 'Offline',
  refused: (_, reason) => `Not taken: ${reason}`
}

export function showSaved ({ state, unsaved, reason }, stored) {
  place.dataset.state = state
  place.textContent = WORDS[state](unsaved, reason)
  discard.hidden = state !== 'refused' || !unsaved
  discard.onclick = async () => {
    await stored.clearData()
    location.reload()
  }
}
