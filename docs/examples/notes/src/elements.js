// Elements of the page. Texts are set as text, so that nothing in them runs.

export function element (tag, attributes = {}, text = '') {
  const made = document.createElement(tag)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.textContent = text
  return made
}

export function button (text, action, attributes = {}) {
  const made = element('button', { type: 'button', ...attributes }, text)
  made.onclick = action
  return made
}

export const safeColor = color => /^#[0-9a-f]{6}$/i.test(color) ? color : 'inherit'
