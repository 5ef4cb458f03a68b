curl -X PUT http://localhost:8882/api/v1/instances/customer-a \
  -H "x-api-key: omni-dev-key-test-2025" \
  -d '{"evolution_key": "CORRECT_KEY_HERE"}'
