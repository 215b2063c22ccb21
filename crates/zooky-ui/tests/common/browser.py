"""A headless Chromium, steered line by line: a JSON command comes in, `ok` and a JSON answer go out.

What the page writes to its console, what fails in it, each request it makes and, where that is wished, how long each of its
tasks took are kept, and told when they are asked for.
"""

import json
import sys
import time

from playwright.sync_api import sync_playwright

def tasks(trace):
    """The tasks of the page's main thread, the longest first: milliseconds of its processor, and by the clock."""
    events = json.loads(trace)["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    found = [
        (event["tdur"] / 1000, event["dur"] / 1000)
        for event in events
        if event["name"].endswith("RunTask")
        and event["ph"] == "X"
        and "tdur" in event
        and (event["pid"], event["tid"]) in mains
    ]
    return sorted(found, reverse=True)


def main():
    options = json.loads(sys.argv[1])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=options["chromium"],
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        context = browser.new_context(
            viewport={"width": options["width"], "height": options["height"]},
            color_scheme=options["scheme"],
            has_touch=options["touch"],
            is_mobile=options["touch"],
            device_scale_factor=2 if options["touch"] else 1,
            reduced_motion="reduce",
        )
        context.set_default_timeout(60_000)
        page = context.new_page()
        console, requests = [], []
        page.on("console", lambda message: console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: console.append(f"error: {error}"))
        context.on("request", lambda request: requests.append(request.url))

        def trace():
            browser.start_tracing(categories=["toplevel"])

        def traced(_):
            found = tasks(browser.stop_tracing())
            trace()
            return found

        if options["trace"]:
            trace()

        def until(condition):
            """Looks in each frame; the moment at which it was so, by the page's clock."""
            return page.wait_for_function(
                f"() => ({condition}) ? Date.now() : 0", polling="raf"
            ).json_value()

        acts = {
            "open": lambda url: page.goto(url, wait_until="domcontentloaded") and None,
            "eval": lambda code: page.evaluate(code),
            "until": until,
            "click": lambda selector: page.click(selector),
            "fill": lambda given: page.fill(*given),
            "press": lambda key: page.keyboard.press(key),
            "shot": lambda path: page.screenshot(path=path) and None,
            "console": lambda _: console,
            "requests": lambda _: requests,
            "tasks": traced,
            # A sleep in the page's own time, while it works.
            "rest": lambda ms: page.wait_for_timeout(ms),
        }
        print("ready", browser.version, flush=True)
        for line in sys.stdin:
            command, given = json.loads(line)
            try:
                print("ok", json.dumps(acts[command](given)), flush=True)
            except Exception as error:  # told to the test, which fails by it
                print("no", json.dumps(f"{command} {given}: {error}"), flush=True)
        browser.close()


main()
