/* scraper/cdp_methods.c - which commands may be sent and which events are read. The first table is
 * what "we read and never act" rests on: nothing here clicks, types, scrolls, logs in, sets a
 * cookie or alters what a page can see of its browser beyond the configured user agent. */
#include "scraper/cdp_methods.h"

#include <string.h>

/* Both tables in the order of strcmp. */
static const char *const commands[] = {
    "Browser.close",
    "Browser.getVersion",
    "Browser.setDownloadBehavior", /* deny: a page must not fill our disk */
    "Emulation.setDeviceMetricsOverride",
    "Emulation.setFocusEmulationEnabled",
    "Fetch.continueRequest",
    "Fetch.disable",
    "Fetch.enable",
    "Fetch.failRequest",
    "HeadlessExperimental.beginFrame",
    "HeadlessExperimental.enable",
    "Inspector.enable",
    "Network.disable",
    "Network.enable",
    "Network.setBlockedURLs",
    "Network.setCacheDisabled",
    "Network.setUserAgentOverride",
    "Page.addScriptToEvaluateOnNewDocument",
    "Page.captureScreenshot",
    "Page.createIsolatedWorld",
    "Page.enable",
    "Page.getFrameTree",
    "Page.handleJavaScriptDialog", /* dismissing only: an open dialog stops the page's scripts */
    "Page.navigate",
    "Page.reload",
    "Page.removeScriptToEvaluateOnNewDocument",
    "Page.setLifecycleEventsEnabled",
    "Page.stopLoading",
    "Performance.disable",
    "Performance.enable",
    "Performance.getMetrics",
    "Runtime.addBinding",
    "Runtime.enable",
    "Runtime.evaluate",
    "Runtime.getHeapUsage",
    "Runtime.removeBinding",
    "Runtime.runIfWaitingForDebugger",
    "Target.attachToTarget",
    "Target.closeTarget",
    "Target.createBrowserContext",
    "Target.createTarget",
    "Target.detachFromTarget",
    "Target.disposeBrowserContext",
    "Target.getTargets",
    "Target.setAutoAttach",
    "Target.setDiscoverTargets",
};

static const char *const events[] = {
    "Fetch.requestPaused",
    "Inspector.detached",
    "Inspector.targetCrashed",
    "Inspector.targetReloadedAfterCrash",
    "Network.loadingFailed",
    "Network.responseReceived",
    "Network.webSocketClosed",
    "Network.webSocketCreated",
    "Network.webSocketFrameError",
    "Network.webSocketFrameReceived",
    "Network.webSocketHandshakeResponseReceived",
    "Page.domContentEventFired",
    "Page.frameNavigated",
    "Page.frameStoppedLoading",
    "Page.javascriptDialogOpening",
    "Page.lifecycleEvent",
    "Page.loadEventFired",
    "Page.navigatedWithinDocument",
    "Runtime.bindingCalled",
    "Runtime.executionContextCreated",
    "Runtime.executionContextDestroyed",
    "Runtime.executionContextsCleared",
    "Target.attachedToTarget",
    "Target.detachedFromTarget",
    "Target.targetCrashed",
    "Target.targetCreated",
    "Target.targetDestroyed",
    "Target.targetInfoChanged",
};

static const char *find(const char *const *table, size_t count, const char *name, size_t name_len)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        size_t len = strlen(table[middle]);
        int order = memcmp(name, table[middle], name_len < len ? name_len : len);
        if (order == 0)
            order = (name_len > len) - (name_len < len);
        if (order == 0)
            return table[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *scr_cdp_command(const char *method, size_t method_len)
{
    return find(commands, sizeof commands / sizeof commands[0], method, method_len);
}

const char *scr_cdp_event(const char *method, size_t method_len)
{
    return find(events, sizeof events / sizeof events[0], method, method_len);
}
