"""Widgets that are not in ipywidgets show in Colab only once the custom manager is on."""

from types import SimpleNamespace

from IPython import get_ipython

WIDGET = "application/vnd.jupyter.widget-view+json"
_widgets = SimpleNamespace(_installed_url=None)


def enable_custom_widget_manager(version: str = "1.0.0") -> None:
    """From now on every widget that is displayed names the manager that can show it."""
    if _widgets._installed_url is None:
        get_ipython().display_pub.register_hook(_with_manager)
    _widgets._installed_url = f"https://colab.invalid/widget-manager/{version}/manager.min.js"


def _with_manager(message: dict) -> dict:
    content = message.get("content", {})
    if WIDGET in content.get("data", {}):
        about = content.setdefault("metadata", {}).setdefault(WIDGET, {})
        about["colab"] = {"custom_widget_manager": {"url": _widgets._installed_url}}
    return message
