"""Waiting for a page that a click or a key leads to."""


def wait_for_page(tab, shown):
    """Wait until a page shows an element and has loaded: its pictures have sizes and its keys act."""
    shown.wait_for()
    tab.wait_for_load_state()


def wait_until_done(tab):
    """Wait for the page that follows an action."""
    wait_for_page(tab, tab.get_by_role("status").filter(has_text="Done."))
