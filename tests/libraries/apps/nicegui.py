"""NiceGUI in a FastAPI application: it keeps the number of a browser in our session, and the login in its own store."""

from typing import Any

from fastapi import FastAPI, Request
from nicegui import app as gui
from nicegui import ui
from nicegui.storage import RequestTrackingMiddleware

from sharedsession.frameworks.starlette import SessionMiddleware

app = FastAPI()


@app.get("/me")
async def me(request: Request) -> dict[str, Any]:
    return {"name": request.session.get("user"), "cart": request.session.get("cart", [])}


@app.post("/cart")
async def cart(request: Request) -> dict[str, Any]:
    request.session.append("cart", (await request.form())["item"])
    return await me(request)


@app.post("/login")
async def login(request: Request) -> str:
    request.session.pop("id", None)  # NiceGUI's number of the browser
    request.session["user"] = (await request.form())["name"]
    return "welcome"


@app.post("/logout")
async def logout(request: Request) -> str:
    request.session.destroy()
    return "bye"


@ui.page("/")
def page(request: Request) -> None:
    gui.storage.user["visits"] = gui.storage.user.get("visits", 0) + 1
    ui.label(f"{request.session.get('user')}, visit {gui.storage.user['visits']}")


gui.add_middleware(RequestTrackingMiddleware)
ui.run_with(app, mount_path="/gui")
app.add_middleware(SessionMiddleware, regenerate_on=["user"])
