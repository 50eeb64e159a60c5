"""The data manager's page, in NiceGUI: mounted beside the API, from the same view."""

from fastapi import FastAPI
from nicegui import ui

from central.view import Views


def mount(app: FastAPI, views: Views) -> None:
    """Put the page at `/` of the application. Once in a process."""

    @ui.page("/")
    def overview() -> None:
        listing = ui.column()

        def refresh() -> None:
            listing.clear()
            with listing:
                for platform in views.now().platforms:
                    ui.label(f"{platform.state} {platform.name} {platform.reason}")

        refresh()
        ui.timer(5.0, refresh)

    ui.run_with(app, title="Tidegate", dark=None, tailwind=False, show_welcome_message=False)
