import asyncio

import asyncbatch

urls = [
    "https://example.org/",
    "https://example.com/",
    "https://example.org/no-such-page",
]


async def main() -> None:
    results = await asyncbatch.fetch_many(urls, concurrency=100, per_host=10)
    for result in results:
        if result.ok:
            print(result.status_code, result.url, result.elapsed, result.text[:50])
        else:
            print(result.kind, result.url, result.error)
    print(results.summary())


asyncio.run(main())
