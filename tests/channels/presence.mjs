// Two guests by the lines of docs/presence.md, in y-websocket: says what the one sees of the other
// before, while and after it is there.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const require = createRequire(new URL('../interop/package.json', import.meta.url))
const Y = require('yjs')
const WebSocket = require('ws')
const { WebsocketProvider } = require('y-websocket-3.0')

const [lines, server] = process.argv.slice(2)
const joinPresence = new Function(`${readFileSync(lines, 'utf8')}; return joinPresence`)()

const open = (me, seen) => {
  const provider = new WebsocketProvider(server, 'room', new Y.Doc(), {
    WebSocketPolyfill: WebSocket, disableBc: true
  })
  return [provider, joinPresence(provider, me, seen)]
}
let people = {}
let look = () => {}
const until = condition => new Promise(resolve => {
  look = () => { if (condition()) resolve() }
  look()
})
const told = []
const note = () => told.push([people['guest-ben'].status, people['guest-ben'].connections])

const [ann] = open('guest-ann', now => { people = now; look() })
await until(() => people['guest-ann']?.connections === 1)
const [ben, set] = open('guest-ben', () => {})
await until(() => people['guest-ben']?.connections === 1)
note()
set({ status: 'busy', color: '#00aa00', name: '<b>Ben</b>' })
await until(() => people['guest-ben']?.status === 'busy' && people['guest-ben'].connections === 1)
note()
const [again] = open('guest-ben', () => {})
await until(() => people['guest-ben'].connections === 2)
note()
ben.destroy()
again.destroy()
await until(() => people['guest-ben'].status === 'offline')
note()
ann.destroy()
console.log(JSON.stringify({ told, ben: people['guest-ben'] }))
process.exit(0)
