// Joins a chat again and again, each time as a new Yjs document; prints what that took.
import * as Y from 'yjs'
import { WebsocketProvider } from 'y-websocket'

const { url, room, joins } = JSON.parse(process.argv[2])
let bytes = 0
let live = 0

class Counting extends WebSocket {
  constructor (...options) {
    super(...options)
    this.addEventListener('message', event => { bytes += event.data.byteLength })
  }
}

const took = []
for (let number = 0; number < joins; number++) {
  const doc = new Y.Doc()
  const begun = performance.now()
  const provider = new WebsocketProvider(url, room, doc, {
    WebSocketPolyfill: Counting, params: { token: `yjs-${number}` }, disableBc: true
  })
  await new Promise(resolve => provider.on('sync', synced => synced && resolve()))
  const messages = [...doc.getMap('chat').values()].filter(each => each.text)
  took.push(performance.now() - begun)
  live = messages.length
  provider.destroy()
  doc.destroy()
}
console.log(JSON.stringify({ took, bytes: bytes / joins, live }))
process.exit(0)
