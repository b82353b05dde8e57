// What the page asks of the server: one function per question. Knows no element of the page.

const base = document.querySelector("meta[name=crdtsync-base]").content
const TOKEN = "crdtsync-token"

/** The name of the document, from the address: /documents/NAME/history. */
export const documentName = (() => {
  const path = location.pathname.slice(base.length)
  return decodeURIComponent(path.slice("/documents/".length, -"/history".length))
})()

/** A token comes behind the # of the address, which no server sees, and stays in this tab. */
export const takeToken = () => {
  const given = new URLSearchParams(location.hash.slice(1)).get("token")
  if (given) {
    sessionStorage.setItem(TOKEN, given)
    history.replaceState(null, "", location.pathname + location.search)
  }
}

export const useToken = (token) => sessionStorage.setItem(TOKEN, token)

/** What the server said no to, in its words. */
export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail || title || `The server answered ${status}.`)
    this.status = status
  }
}

const ask = async (method, path, { query = {}, body } = {}) => {
  const url = new URL(`${base}/api/v1${path}`, location.origin)
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value)
  }
  const headers = { Accept: "application/json" }
  const token = sessionStorage.getItem(TOKEN)
  if (token) headers.Authorization = `Bearer ${token}`
  if (body) headers["Content-Type"] = "application/json"
  let response
  try {
    response = await fetch(url, { method, headers, body: body && JSON.stringify(body) })
  } catch {
    throw new Problem(0, "", "The server can't be reached.")
  }
  if (response.status === 204) return null
  const answer = await response.json().catch(() => ({}))
  if (!response.ok) throw new Problem(response.status, answer.title, answer.detail)
  return answer
}

const about = (query = {}) => ({ query: { document: documentName, ...query } })
const doing = (body) => ({ body: { document: documentName, ...body } })

export const versions = (before, kind, limit) =>
  ask("GET", "/versions", about({ before, kind, limit }))
export const activity = (before, limit) =>
  ask("GET", "/history/activity", about({ before, limit }))
export const content = (at, format) => ask("GET", "/history/content", about({ at, format }))
export const diff = (from, to) => ask("GET", "/history/diff", about({ from, to }))
export const blame = (at) => ask("GET", "/history/blame", about({ at }))
export const create = (label) => ask("POST", "/versions", doing({ label }))
export const restore = (at, root) =>
  ask("POST", "/history/restore", doing(root ? { at, root } : { at }))
