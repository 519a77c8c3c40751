"""The media edge: HTTP, WebRTC, and the engine as a supervised child."""
