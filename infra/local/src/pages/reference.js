// The API reference, without anything from elsewhere.
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
