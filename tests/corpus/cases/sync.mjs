// What travels when documents meet: diffs, merges, holes, deletes alone, extreme ids and clocks.

import { createRequire } from 'node:module'
import { Y, contentOf } from '../recorder.mjs'

const require = createRequire(new URL('../../interop/package.json', import.meta.url))

const capture = (doc, change) => {
  const updates = []
  const note = update => updates.push(update)
  doc.on('update', note)
  change()
  doc.off('update', note)
  return updates
}

const busy = (recorder, first) => {
  const ann = recorder.client(first)
  const bob = recorder.client(first + 1)
  const edit = (doc, n) => {
    const text = doc.getText('text')
    text.insert(recorder.random.int(0, text.length), `${recorder.random.word()} `)
    doc.getMap('map').set(`k${n % 3}`, n)
    if (n % 4 === 3) text.delete(0, 2)
  }
  return { ann, bob, edit }
}

const diffs = recorder => {
  const { ann, bob, edit } = busy(recorder, 201)
  const vectors = []
  for (let n = 0; n < 12; n++) {
    edit(n % 2 ? ann : bob, n)
    if (n % 3 === 2) recorder.meet(ann, bob)
    vectors.push(Y.encodeStateVector(ann))
  }
  recorder.meet(ann, bob)
  const state = Y.encodeStateAsUpdate(ann)
  for (const vector of vectors) {
    recorder.keep(Y.encodeStateAsUpdate(ann, vector), Y.diffUpdate(state, vector))
  }
  // In the middle of a struct: the first one is cut.
  recorder.keep(Y.encodeStateAsUpdate(ann, Y.encodeStateVector(new Map([[201, 3], [202, 1]]))))
  return { doc: ann }
}

const merges = recorder => {
  const { ann, bob, edit } = busy(recorder, 211)
  const updates = []
  for (let n = 0; n < 14; n++) {
    const doc = n % 3 ? ann : bob
    updates.push(...capture(doc, () => edit(doc, n)))
    if (n % 5 === 4) recorder.meet(ann, bob)
  }
  recorder.meet(ann, bob)
  recorder.keep(Y.mergeUpdates(updates))
  recorder.keep(Y.mergeUpdates(recorder.random.shuffle(updates)))
  recorder.keep(Y.mergeUpdates([...updates, ...updates.slice(3, 9)]))
  for (let n = 0; n + 4 < updates.length; n += 3) recorder.keep(Y.mergeUpdates(updates.slice(n, n + 4)))
  recorder.keep(Y.convertUpdateFormatV2ToV1(Y.convertUpdateFormatV1ToV2(Y.mergeUpdates(updates))))
  return { doc: ann }
}

const holes = recorder => {
  const doc = recorder.client(221)
  const text = doc.getText('text')
  const updates = []
  for (let n = 0; n < 12; n++) {
    updates.push(...capture(doc, () => text.insert(text.length, `part ${n}, `)))
    if (n === 7) updates.push(...capture(doc, () => text.delete(3, 4)))
  }
  recorder.keep(Y.mergeUpdates([updates[0], updates[2]]))
  recorder.keep(Y.mergeUpdates([updates[1], updates[4], updates[9]]))
  recorder.keep(Y.mergeUpdates(updates.filter((_, n) => n % 3)))
  const gapped = new Y.Doc()
  gapped.clientID = 222
  for (const n of [0, 1, 4, 5, 8, 11]) Y.applyUpdate(gapped, updates[n])
  recorder.keep(Y.encodeStateAsUpdate(gapped)) // with what it waits for, behind Skips
  gapped.getText('text').insert(0, 'mine ')
  recorder.keep(Y.encodeStateAsUpdate(gapped))
  recorder.keep(Y.diffUpdate(Y.encodeStateAsUpdate(gapped), Y.encodeStateVector(new Map([[221, 30]]))))
  return { doc }
}

const deletesOnly = recorder => {
  const ann = recorder.client(231)
  const bob = recorder.client(232)
  ann.getText('text').insert(0, 'all of this will be deleted by the other one')
  ann.getArray('array').push([1, 2, 3, new Y.Map()])
  ann.getMap('map').set('k', 'v')
  recorder.meet(ann, bob)
  bob.getText('text').delete(4, 3)
  bob.getText('text').delete(10, 8)
  bob.getArray('array').delete(1, 3)
  bob.getMap('map').delete('k')
  bob.transact(() => {
    for (const at of [1, 3, 5, 7, 9]) bob.getText('text').delete(at, 1)
  })
  recorder.keep(Y.encodeStateAsUpdate(bob, Y.encodeStateVector(bob)))
  recorder.meet(ann, bob)
  ann.getText('text').delete(0, ann.getText('text').length)
  // Deletes of something that never arrived stay pending and are sent on.
  const stranger = new Y.Doc()
  stranger.clientID = 233
  Y.applyUpdate(stranger, Y.encodeStateAsUpdate(bob, Y.encodeStateVector(bob)))
  recorder.keep(Y.encodeStateAsUpdate(stranger))
  return { doc: ann }
}

const empty = recorder => {
  const doc = recorder.client(241)
  doc.getText('text')
  recorder.keep(Y.encodeStateAsUpdate(doc), Y.mergeUpdates([]), Y.encodeStateAsUpdate(new Y.Doc()))
  doc.getText('text').insert(0, 'x')
  recorder.keep(Y.encodeStateAsUpdate(doc, Y.encodeStateVector(doc)))
  return { doc }
}

const largeIds = recorder => {
  const ids = [0, 1, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40, 2 ** 53 - 1]
  const docs = ids.map(id => recorder.client(id))
  docs.forEach((doc, n) => {
    doc.getText('text').insert(0, `${n} `)
    doc.getMap('map').set('k', n)
    recorder.meet(...docs)
    doc.getText('text').delete(1, 1)
  })
  recorder.meet(...docs)
  return { doc: docs[0] }
}

const bigClocks = recorder => {
  const doc = recorder.client(2 ** 53 - 1)
  const text = doc.getText('text')
  const chunk = 'x'.repeat(2 ** 28)
  for (let n = 0; n < 6; n++) {
    doc.transact(() => { text.insert(0, chunk); text.delete(0, chunk.length) })
    text.insert(0, 'y')
  }
  doc.transact(() => {
    const type = doc.getArray('array')
    type.push([new Y.Text(chunk)])
    type.delete(0, 1) // a GC struct as long
  })
  return { doc } // its end clock is close to 2^31
}

const restored = recorder => {
  const doc = recorder.client(251, { gc: false })
  const text = doc.getText('text')
  text.insert(0, 'the first version')
  const snapshot = Y.snapshot(doc)
  text.delete(4, 6)
  text.insert(4, 'second ')
  const old = Y.createDocFromSnapshot(doc, snapshot)
  recorder.keep(Y.encodeStateAsUpdate(old))
  return { doc }
}

const obfuscated = recorder => {
  const source = new Y.Doc()
  source.clientID = 255
  source.getText('text').insert(0, 'secret')
  source.getText('text').format(0, 3, { bold: true })
  source.getMap('map').set('name', { of: ['someone', 1n] })
  source.getXmlFragment('xml').push([new Y.XmlElement('p'), new Y.XmlText('secret')])
  const doc = new Y.Doc()
  recorder.keep(Y.obfuscateUpdate(Y.encodeStateAsUpdate(source)))
  Y.applyUpdate(doc, recorder.updates[0])
  return { doc, content: { text: contentOf(doc.getText('text')) } }
}

const longRun = recorder => {
  const doc = recorder.client(261)
  doc.transact(() => {
    for (let n = 0; n < 600; n++) {
      doc.getMap('map').set('same', n)
      doc.getArray('array').unshift([n])
    }
  })
  for (let n = 0; n < 40; n++) doc.getMap('map').set(`key ${n}`, { n })
  return { doc }
}

// Yjs 14 writes the same format; its one class for all types has other type names.
const yjs14 = recorder => {
  const Y14 = require('@y/y')
  const doc = new Y14.Doc()
  doc.clientID = 271
  doc.on('update', update => recorder.keep(update))
  const text = doc.get('text')
  text.insert(0, 'written by Yjs 14')
  text.delete(2, 3)
  text.format(0, 4, { bold: true })
  doc.get('map').setAttr('k', { v: [1, null] })
  doc.get('map').setAttr('k', 2)
  const child = new Y14.Type('paragraph')
  doc.get('list').insert(0, [child, 'after'])
  child.insert(0, 'inner')
  child.setAttr('level', 1)
  doc.get('list').insert(0, [new Y14.Type()])
  doc.get('list').delete(1, 1)
  recorder.keep(Y14.encodeStateAsUpdate(doc))
  return { doc, yjs: Y14, content: { text: { text: text.toString().replace(/<[^>]*>/g, '') } } }
}

export const cases = {
  diffs,
  merges,
  holes,
  'deletes-only': deletesOnly,
  empty,
  'large-client-ids': largeIds,
  'big-clocks': bigClocks,
  restored,
  obfuscated,
  'long-run': longRun,
  'yjs-14': yjs14
}
