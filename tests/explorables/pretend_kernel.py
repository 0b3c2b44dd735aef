"""A figure in a page where the test plays the kernel: it sets traits and reads what comes back."""

import json

from backbone.explorables.bundle import module_script, style

PAGE = """<!doctype html><html lang="{language}"><meta charset="utf-8"><title>figure</title>
<link rel="icon" href="data:,"><style>{style}</style><body><main></main><script type="module">
{script}
const state = {state};
const listeners = {{}};
window.saved = 0;
window.model = {{
  get: (key) => state[key],
  set(key, value) {{
    if (state[key] === value) return;
    state[key] = value;
    for (const listener of [...(listeners[`change:${{key}}`] ?? [])]) listener();
  }},
  save_changes: () => window.saved++,
  on: (event, listener) => (listeners[event] ??= []).push(listener),
  off: (event, listener) => {{
    listeners[event] = listeners[event].filter((other) => other !== listener);
  }},
}};
window.listening = () => Object.values(listeners).flat().length;
window.clean = widget.render({{ model, el: document.querySelector("main") }});
</script>"""


class Kernel:
    """The page, and its traits."""

    def __init__(self, tab, widget, folder, language="en"):
        kept = {k: v for k, v in widget.get_state().items() if not k.startswith("_")}
        kept = {k: v for k, v in kept.items() if k not in ("layout", "tabbable", "tooltip")}
        script = module_script(widget.view).replace("export default", "const widget =")
        file = folder / f"{widget.view}.html"
        file.write_text(
            PAGE.format(language=language, style=style(), script=script, state=json.dumps(kept)),
            "utf-8",
        )
        self.page = tab(file, height=720)
        self.page.wait_for_selector('[data-ready="true"]')

    def set(self, **traits):
        """Change traits, as Python would."""
        self.page.evaluate(
            "traits => Object.entries(traits).forEach(([k, v]) => model.set(k, v))", traits
        )

    def get(self, name):
        """Return what a trait is in the page."""
        return self.page.evaluate("name => model.get(name)", name)

    def close(self):
        """Take the figure away; nothing may be left of it."""
        self.page.evaluate("clean()")
        assert self.page.evaluate("listening()") == 0
        assert self.page.locator(".explorable").count() == 0
