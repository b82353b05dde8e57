// Puts the page together.

import { openArchives } from './archives.js'
import { openChat } from './chat.js'
import { showChat } from './chat-view.js'
import { historyAddress, openDocument } from './document.js'
import { openEditor } from './editor.js'
import { me } from './me.js'
import { openPresence } from './presence.js'
import { showPeople } from './presence-view.js'
import { showSaved } from './saved-view.js'
import { watchSaved } from './saved.js'
import './style.css'

const name = new URLSearchParams(location.search).get('document') || 'notes'
const { doc, provider, stored } = openDocument(name)

document.title = name
document.getElementById('title').textContent = name
document.getElementById('history').href = historyAddress(name)

openEditor(doc.getText('content'), provider.awareness, '#editor')
const presence = openPresence(doc, provider, me)
showPeople(presence, me)
showChat(openChat(doc, provider.awareness, me), openArchives(name, doc), presence.colorOf)
watchSaved(doc, provider, saved => showSaved(saved, stored))
