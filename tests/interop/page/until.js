// How tests follow a page: `window.editor` is what they ask, `window.until` waits for it.

const waiters = new Set()

// Call this after anything that a test may wait for.
export const look = () => setTimeout(() => { for (const waiter of waiters) waiter() })

export function offer (editor) {
  // Calls back with true as soon as the expression holds, with false after the deadline.
  window.until = (expression, seconds, done) => {
    const holds = () => new Function('editor', `return Boolean(${expression})`)(editor)
    if (holds()) return done(true)
    const finish = result => {
      clearTimeout(timer)
      waiters.delete(waiter)
      done(result)
    }
    const waiter = () => holds() && finish(true)
    const timer = setTimeout(() => finish(holds()), seconds * 1000)
    waiters.add(waiter)
  }
  window.editor = editor
}
