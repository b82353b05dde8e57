// Maps, arrays, XML, subdocuments, types in types, undo, garbage collection.

import { createRequire } from 'node:module'
import { Y } from '../recorder.mjs'

const require = createRequire(new URL('../../interop/package.json', import.meta.url))

const map = recorder => {
  const ann = recorder.client(101)
  const bob = recorder.client(102)
  const of = doc => doc.getMap('map')
  for (let n = 0; n < 12; n++) of(ann).set('counter', n)
  of(ann).set('', 'the empty key')
  of(ann).set('key with ü and 👋', true)
  of(ann).set('object', { a: [1, 2, { b: null }] })
  of(ann).delete('object')
  of(ann).delete('missing')
  recorder.meet(ann, bob)
  of(ann).set('counter', 'ann')
  of(bob).set('counter', 'bob')
  of(bob).delete('key with ü and 👋')
  recorder.meet(ann, bob)
  of(bob).set('cleared', 1)
  of(bob).clear()
  of(ann).set('counter', 'survives')
  recorder.meet(ann, bob)
  return { doc: ann }
}

const nested = recorder => {
  const ann = recorder.client(111)
  const bob = recorder.client(112)
  const root = ann.getMap('root')
  root.set('list', new Y.Array())
  root.get('list').push([new Y.Map(), 'between', new Y.Text('in an array'), new Y.Array()])
  root.get('list').get(0).set('text', new Y.Text())
  root.get('list').get(0).get('text').insert(0, 'deep')
  root.get('list').get(3).insert(0, [new Y.XmlFragment(), new Y.XmlElement('p')])
  const prepared = new Y.Map()
  prepared.set('made', 'before it was inserted')
  prepared.set('inner', Y.Array.from([1, 'two', new Y.Map()]))
  root.set('prepared', prepared)
  let level = root
  for (let n = 0; n < 30; n++) level = level.set('down', new Y.Map())
  level.set('bottom', 30)
  recorder.meet(ann, bob)
  bob.getMap('root').get('list').get(0).get('text').insert(4, 'er')
  ann.getMap('root').get('list').delete(0, 1)
  recorder.meet(ann, bob)
  ann.getMap('root').get('list').insert(1, [new Y.Text('formatted')])
  ann.getMap('root').get('list').get(1).format(0, 4, { bold: true })
  root.set('prepared', 'overwritten')
  root.delete('down')
  return { doc: ann }
}

const anyValues = recorder => {
  const doc = recorder.client(121)
  const array = doc.getArray('array')
  array.push([
    null, true, false, 0, -0, 1, -1, 63, 64, -64, 8191, -8192,
    2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 32, 2 ** 53 - 1, -(2 ** 53 - 1), 2 ** 60, 1e300,
    0.5, 0.1, -1.25, 1e-40, Number.MIN_VALUE, Number.MAX_VALUE,
    Infinity, -Infinity, NaN, [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n)], [undefined],
    '', 'text', 'ünïcödé 漢字 👋', 'x'.repeat(300), '\u0000'
  ])
  array.insert(3, [new Uint8Array([0, 1, 127, 128, 255]), new Uint8Array(0)])
  array.push([[], {}, [[[[]]]], { a: { b: { c: [1, { d: undefined }] } }, '': 0, 'ü': [null] }])
  array.push([{ bytes: new Uint8Array([7]), big: 5n, list: [undefined, -0, 1.5] }])
  array.delete(0, 2)
  array.delete(5, 10)
  array.unshift([new Uint8Array(200).fill(3)])
  let deep = []
  for (let n = 0; n < 200; n++) deep = [deep]
  doc.getMap('map').set('deep', deep)
  for (const [key, value] of Object.entries({ u: undefined, n: null, z: -0, i: 2 ** 40, b: 9n, f: 0.1 })) {
    doc.getMap('map').set(key, value)
  }
  return { doc }
}

const xml = recorder => {
  const ann = recorder.client(131)
  const bob = recorder.client(132)
  const fragment = ann.getXmlFragment('xml')
  const paragraph = new Y.XmlElement('paragraph')
  fragment.insert(0, [paragraph, new Y.XmlText('between'), new Y.XmlElement('hr')])
  paragraph.setAttribute('align', 'left')
  paragraph.setAttribute('level', 3)
  paragraph.setAttribute('data', { a: [1] })
  paragraph.insert(0, [new Y.XmlText('hello'), new Y.XmlElement('br')])
  paragraph.get(0).format(0, 2, { strong: {} })
  paragraph.get(0).insertEmbed(1, { mention: 'ann' })
  paragraph.setAttribute('align', 'right')
  paragraph.removeAttribute('level')
  fragment.insertAfter(paragraph, [new Y.XmlElement('table')])
  recorder.meet(ann, bob)
  bob.getXmlFragment('xml').get(0).get(0).insert(5, ' world', { em: true })
  ann.getXmlFragment('xml').delete(1, 1)
  ann.getXmlFragment('xml').get(0).delete(1, 1)
  recorder.meet(ann, bob)
  ann.getXmlElement('element').setAttribute('on', 'a root element')
  return { doc: ann }
}

const xmlHook = recorder => {
  const doc = recorder.client(136)
  const hook = new Y.XmlHook('widget')
  hook.set('size', 3)
  doc.getXmlFragment('xml').push([hook, new Y.XmlText('behind it')])
  hook.set('size', 4)
  return { doc }
}

const proseMirror = recorder => {
  const { updateYFragment } = require('y-prosemirror')
  const { schema } = require('prosemirror-schema-basic')
  const doc = recorder.client(141)
  const fragment = doc.getXmlFragment('prosemirror')
  const meta = { mapping: new Map(), isOMark: new Map() }
  const text = (content, ...marks) =>
    schema.text(content, marks.map(([name, attrs]) => schema.mark(name, attrs)))
  const paragraph = (...inline) => schema.node('paragraph', null, inline)
  const heading = (level, ...inline) => schema.node('heading', { level }, inline)
  const show = (...blocks) => doc.transact(
    () => updateYFragment(doc, fragment, schema.node('doc', null, blocks), meta)
  )
  show(paragraph())
  show(paragraph(text('Hello')))
  show(paragraph(text('Hello '), text('bold', ['strong']), text(' world')))
  show(heading(2, text('Title')), paragraph(text('Hello '), text('bold', ['strong'])))
  show(heading(1, text('Title')), schema.node('blockquote', null, [
    paragraph(text('quoted', ['em'], ['link', { href: 'http://x', title: null }]))
  ]), paragraph(text('Hello '), schema.node('image', { src: 'a.png', alt: 'ü' }), text('!')))
  show(paragraph(text('all replaced')), schema.node('horizontal_rule'), schema.node('code_block', null, [text('x = 1')]))
  show(paragraph(text('all replaced, nearly')), schema.node('code_block', null, [text('x = 12')]))
  return { doc }
}

const subdocuments = recorder => {
  const doc = recorder.client(151)
  const folder = doc.getMap('folder')
  folder.set('one', new Y.Doc({ guid: 'sub-1' }))
  folder.set('two', new Y.Doc({ guid: 'sub-2', autoLoad: true, meta: { title: 'ü', tags: [1, null] } }))
  doc.getArray('list').push([new Y.Doc({ guid: 'sub-3', gc: false, shouldLoad: false })])
  folder.set('one', new Y.Doc({ guid: 'sub-4' }))
  folder.delete('two')
  return { doc }
}

const undo = recorder => {
  const ann = recorder.client(161)
  const bob = recorder.client(162)
  const text = ann.getText('text')
  const map = ann.getMap('map')
  const array = ann.getArray('array')
  const manager = new Y.UndoManager([text, map, array], { captureTimeout: 0 })
  const step = change => { manager.stopCapturing(); change() }
  step(() => text.insert(0, 'first'))
  step(() => text.insert(5, ' second'))
  step(() => text.format(0, 5, { bold: true }))
  step(() => { map.set('k', 1); map.set('k', 2) })
  step(() => map.set('nested', new Y.Map([['a', new Y.Text('inner')]])))
  step(() => map.delete('nested'))
  step(() => array.push([1, 2, 3]))
  step(() => array.delete(1, 1))
  step(() => text.delete(2, 6))
  recorder.meet(ann, bob)
  bob.getText('text').insert(1, 'BOB')
  bob.getMap('map').set('k', 'bob')
  recorder.meet(ann, bob)
  for (let n = 0; n < 6; n++) manager.undo()
  for (let n = 0; n < 4; n++) manager.redo()
  step(() => text.insert(0, 'again '))
  manager.undo()
  recorder.meet(ann, bob)
  while (manager.undoStack.length) manager.undo()
  return { doc: ann }
}

const collect = options => recorder => {
  const doc = recorder.client(options.gc ? 171 : 172, options)
  const root = doc.getMap('root')
  const list = root.set('list', new Y.Array())
  for (let n = 0; n < 20; n++) list.push([new Y.Map([['n', n], ['text', new Y.Text(`item ${n}`)]])])
  list.get(3).get('text').insert(0, 'edited ')
  list.delete(2, 10)
  const text = doc.getText('text')
  text.insert(0, 'some text that goes away mostly')
  text.delete(5, 20)
  text.insert(5, 'new')
  root.delete('list')
  root.set('list', new Y.Array())
  root.get('list').push(['fresh'])
  const element = new Y.XmlElement('div')
  doc.getXmlFragment('xml').insert(0, [element])
  element.insert(0, [new Y.XmlText('inside'), new Y.XmlElement('span')])
  doc.getXmlFragment('xml').delete(0, 1)
  return { doc }
}

export const cases = {
  map,
  nested,
  'any-values': anyValues,
  xml,
  'xml-hook': xmlHook,
  'xml-prosemirror': proseMirror,
  subdocuments,
  undo,
  'gc-on': collect({ gc: true }),
  'gc-off': collect({ gc: false })
}
