// Text: typing, formats, embeds, surrogate pairs, a large paste, many writers.

import { randomOf } from '../recorder.mjs'

const typing = recorder => {
  const doc = recorder.client(1)
  const text = doc.getText('text')
  const { random } = recorder
  // An editor's cursor does not stand between the halves of a surrogate pair.
  const outsidePairs = at => /[\udc00-\udfff]/.test(text.toString()[at]) ? at - 1 : at
  let cursor = 0
  for (let n = 0; n < 250; n++) {
    const dice = random.next()
    if (dice < 0.05) cursor = outsidePairs(random.int(0, text.length))
    if (dice < 0.2 && cursor > 0) {
      const start = outsidePairs(Math.max(0, cursor - random.int(1, 3)))
      text.delete(start, cursor - start)
      cursor = start
    } else {
      const typed = random.pick(['e', 't', 'a', ' ', 'o', '\n', 'ü', '漢', '👋', random.word()])
      text.insert(cursor, typed)
      cursor += typed.length
    }
  }
  return { doc }
}

const formats = recorder => {
  const doc = recorder.client(2)
  const text = doc.getText('quill')
  text.insert(0, 'bold and italic and a link, then plain\n')
  text.format(0, 4, { bold: true })
  text.format(9, 6, { italic: true })
  text.format(22, 4, { link: 'https://example.org/?q="ü"' })
  text.format(2, 10, { color: '#f00', background: null })
  text.format(0, 10, { bold: null })
  text.insert(5, 'inserted ', { bold: true, size: 12.5 })
  text.insertEmbed(3, { image: 'data:image/png;base64,iVBORw0KGgo=' })
  text.insertEmbed(8, { formula: 'e=mc^2', nested: { list: [1, 'two', null, true] } }, { width: 20 })
  text.applyDelta([
    { retain: 4, attributes: { underline: true } },
    { insert: 'delta', attributes: { list: 'ordered', indent: 1 } },
    { delete: 3 },
    { insert: { video: 'x' } },
    { retain: 2, attributes: { underline: null } }
  ])
  text.delete(10, 12)
  text.removeAttribute('missing')
  text.setAttribute('lang', 'de')
  text.setAttribute('meta', { deep: [1, { x: 2 }] })
  text.removeAttribute('lang')
  doc.transact(() => {
    text.format(0, text.length, { bold: true })
    text.format(0, text.length, { bold: null, comment: { id: 7, by: 'ann' } })
    text.insert(0, 'in one transaction ')
  })
  return { doc }
}

const quillSession = recorder => {
  const ann = recorder.client(31)
  const bob = recorder.client(32)
  const { random } = recorder
  const values = { bold: [true, null], italic: [true, null], header: [1, 2, null], link: ['http://x', null] }
  for (let n = 0; n < 60; n++) {
    const doc = random.pick([ann, bob])
    const text = doc.getText('quill')
    const at = random.int(0, text.length)
    const dice = random.next()
    if (dice < 0.5) text.insert(at, random.word() + random.pick([' ', '\n']))
    else if (dice < 0.7 && text.length) {
      text.delete(Math.min(at, text.length - 1), 1)
    } else if (dice < 0.95 && text.length) {
      const key = random.pick(Object.keys(values))
      const start = random.int(0, text.length - 1)
      text.format(start, random.int(1, text.length - start), { [key]: random.pick(values[key]) })
    } else text.insertEmbed(at, { image: `${n}.png` }, { bold: true })
    if (n % 7 === 6) recorder.meet(ann, bob)
  }
  recorder.meet(ann, bob)
  return { doc: ann }
}

const surrogates = recorder => {
  const ann = recorder.client(41)
  const text = ann.getText('text')
  text.insert(0, 'a😀b👩‍💻c')
  text.delete(2, 1) // the second half of 😀
  text.insert(0, '😀😀😀')
  text.insert(3, 'x') // into the middle of the second
  text.delete(0, 1)
  text.format(5, 1, { bold: true })
  text.insert(2, '\ud83d') // a half alone; both, one after the other, Yjs itself reads in two ways
  const bob = recorder.client(42)
  recorder.meet(ann, bob)
  ann.getText('text').insert(1, '🎉')
  recorder.meet(ann, bob)
  bob.getText('text').delete(1, 1)
  ann.getText('text').insert(2, 'mid')
  recorder.meet(ann, bob)
  ann.getMap('map').set('k😀', '\ud800 half')
  ann.getArray('array').push(['😀', '\udc00', '漢字'])
  return { doc: ann }
}

const paste = recorder => {
  const doc = recorder.client(51)
  const random = randomOf(51)
  const lines = Array.from({ length: 40 }, () =>
    Array.from({ length: 100 }, () => random.word()).join(' ') + '\n')
  let text = ''
  while (text.length < 1_000_000) text += random.pick(lines)
  doc.getText('text').insert(0, 'before after')
  doc.getText('text').insert(7, text)
  doc.getText('text').delete(500_000, 10)
  return { doc, content: { text: { length: doc.getText('text').length } } }
}

const manyWriters = recorder => {
  const { random } = recorder
  const docs = Array.from({ length: 12 }, (_, n) => recorder.client(1000 + n * 7919))
  for (let round = 0; round < 6; round++) {
    for (const doc of random.shuffle(docs)) {
      const text = doc.getText('text')
      text.insert(random.int(0, text.length), `${random.word()} `)
      if (text.length > 20) text.delete(random.int(0, text.length - 4), 3)
    }
    if (round % 2) recorder.meet(...docs)
  }
  recorder.meet(...docs)
  return { doc: docs[0] }
}

const samePlace = recorder => {
  const docs = Array.from({ length: 15 }, (_, n) => recorder.client(500 - n))
  for (const doc of docs) {
    doc.getText('text').insert(0, `<${doc.clientID}>`)
    doc.getMap('map').set('winner', doc.clientID)
    doc.getArray('list').push([doc.clientID])
  }
  recorder.meet(...docs)
  docs[0].getText('text').insert(7, 'then')
  return { doc: docs[0] }
}

const backwards = recorder => {
  const doc = recorder.client(60)
  for (const char of 'typed from right to left') doc.getText('text').insert(0, char)
  doc.getText('text').delete(3, 5)
  return { doc }
}

const noOp = recorder => {
  const doc = recorder.client(61)
  const text = doc.getText('text')
  text.insert(0, '')
  text.insert(0, 'gone at once')
  doc.transact(() => {
    text.insert(3, 'never seen')
    text.delete(3, 10)
  })
  text.delete(0, text.length)
  text.insert(0, '\u0000\u0001\ufeff\uffff\u2028')
  return { doc }
}

export const cases = {
  'text-typing': typing,
  'text-formats': formats,
  'text-quill-session': quillSession,
  'text-surrogates': surrogates,
  'text-paste-1mb': paste,
  'text-many-writers': manyWriters,
  'text-same-place': samePlace,
  'text-backwards': backwards,
  'text-no-op': noOp
}

