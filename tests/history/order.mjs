// Say how Yjs orders the items of each update, in base64 in a file: per list and per map key, runs of
// client, first clock, end clock. Places are named by their root, or by the id of the type's item.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(new URL('../interop/package.json', import.meta.url))
const Y = require('yjs')

const asked = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const said = asked.map(data => {
  const doc = new Y.Doc({ gc: false })
  Y.applyUpdate(doc, Buffer.from(data, 'base64'))
  const lines = {}
  const take = (place, first) => {
    const runs = []
    for (let item = first; item !== null; item = item.right) {
      const { client, clock } = item.id
      const last = runs.at(-1)
      if (last !== undefined && last[0] === client && last[2] === clock) last[2] += item.length
      else runs.push([client, clock, clock + item.length])
      if (item.content.type) visit(`${client},${clock}`, item.content.type)
    }
    if (runs.length > 0) lines[place] = runs
  }
  const visit = (name, type) => {
    take(name, type._start)
    for (const [key, last] of type._map) {
      let first = last
      while (first.left !== null) first = first.left
      take(`${name} ${key}`, first)
    }
  }
  for (const [name, type] of doc.share) visit(name, type)
  return lines
})
console.log(JSON.stringify(said))
