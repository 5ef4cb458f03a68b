//! WhatsApp through Evolution API.
