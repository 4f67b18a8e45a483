// Shows the API reference without loading anything from the internet.
Scalar.createApiReference("#app", {
  url: "/openapi.json",
  theme: "default",
  agent: { disabled: true },
  mcp: { disabled: true },
  telemetry: false,
  withDefaultFonts: false,
  hideClientButton: true,
  showDeveloperTools: "never",
  documentDownloadType: "json",
  defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
});
