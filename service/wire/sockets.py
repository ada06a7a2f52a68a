"""WebSocket connections, as the server has them but for what it forgets."""

from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class Socket(WebSocketsSansIOProtocol):
    """One connection. An application that answers a request to open one with a refusal has answered it."""

    async def send(self, message: Mapping[str, Any]) -> None:
        await super().send(message)  # type: ignore[arg-type]
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True
