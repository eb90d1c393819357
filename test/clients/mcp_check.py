"""The Python SDK of MCP as a client: over streamable HTTP through the gateway, and of `sallyport mcp` over stdio."""

import asyncio
import os
import sys

sys.path.insert(0, os.environ["CLIENT_PACKAGES"])

from mcp import ClientSession, StdioServerParameters, stdio_client  # noqa: E402
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client  # noqa: E402


async def over_http() -> None:
    headers = {"Authorization": f"Bearer {os.environ['SALLYPORT_TOKEN']}"}
    async with (
        create_mcp_http_client(headers=headers) as http,
        streamable_http_client(os.environ["MCP_URL"], http_client=http) as (read, write, *_),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        names = [tool.name for tool in (await session.list_tools()).tools]
        assert "say" in names and "drop" not in names, names
        said = await session.call_tool("say", {"words": "hello"})
        assert said.content[0].text == "hello", said
        denied = await session.call_tool("drop", {})
        assert denied.is_error, denied
        assert "denied by policy" in denied.content[0].text, denied
    print("http")


async def over_stdio() -> None:
    server = StdioServerParameters(
        command=os.environ["NODE"],
        args=[os.environ["SALLYPORT"], "mcp", "--gateway", os.environ["GATEWAY_URL"], "--ca", os.environ["SALLYPORT_CA"]],
        env={"SALLYPORT_TOKEN": os.environ["SALLYPORT_TOKEN"], "PATH": os.environ["PATH"]},
    )
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        names = [tool.name for tool in (await session.list_tools()).tools]
        assert names == ["whoami", "explain", "what_would_i_need"], names
        who = await session.call_tool("whoami", {})
        assert who.structured_content["subject"] == "agent:python", who
        unknown = await session.call_tool("explain", {"decision": "d-0-1"})
        assert unknown.is_error, unknown
    print("stdio")


asyncio.run(over_http())
asyncio.run(over_stdio())
