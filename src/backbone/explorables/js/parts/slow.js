/** Work that takes its time. */

/** Resolves when an element comes near the part of the page that is seen. */
export function whenVisible(el, margin = "600px") {
  if (typeof IntersectionObserver !== "function") return Promise.resolve();
  return new Promise((resolve) => {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      resolve();
    }, { rootMargin: margin });
    observer.observe(el);
  });
}

/** Run async work one at a time; of the calls that come meanwhile only the newest is kept. */
export function latest(work) {
  let [busy, next] = [null, null];
  const start = async (args) => {
    try {
      return await work(...args);
    } finally {
      busy = null;
      if (next) {
        const { args: following, resolve, reject } = next;
        next = null;
        busy = start(following);
        busy.then(resolve, reject);
      }
    }
  };
  return (...args) => {
    if (!busy) return (busy = start(args));
    next?.resolve();
    return new Promise((resolve, reject) => (next = { args, resolve, reject }));
  };
}

/** Call once things have been quiet for so many milliseconds. */
export function debounce(work, milliseconds) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), milliseconds);
  };
}

/** Does the reader ask for less motion? */
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
