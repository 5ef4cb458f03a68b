curl -X POST http://localhost:8882/api/v1/instances \
  -H "x-api-key: omni-dev-key-test-2025" \
  -H "Content-Type: application/json" \
  -d '{
    "name": "customer-a-whatsapp",
    "channel_type": "whatsapp",
    "evolution_url": "https://evolution-api-prod-7611.up.railway.app",
    "evolution_key": "CUSTOMER_A_EVOLUTION_KEY",
    "whatsapp_instance": "8b167ecf-b1a6-4165-bb0c-c2c7fbaf103e",
    "agent_api_url": "http://192.168.1.100:8886",        # ← Agent endpoint
    "agent_api_key": "customer-a-agent-key",              # ← Agent auth
    "agent_id": "gpt-4-business",                         # ← Agent name
    "agent_timeout": 60                                   # ← Timeout
  }'
