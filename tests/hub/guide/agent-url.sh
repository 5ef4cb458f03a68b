curl -X PUT http://localhost:8882/api/v1/instances/customer-a \
  -H "x-api-key: omni-dev-key-test-2025" \
  -H "Content-Type: application/json" \
  -d '{"agent_api_url": "http://192.168.1.100:8886"}'
