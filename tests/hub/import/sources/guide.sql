-- The schema of the architecture guide ("Database Schema", and the columns that its text names).
CREATE TABLE instance_configs (
    id INTEGER PRIMARY KEY,
    name STRING UNIQUE NOT NULL,
    channel_type STRING NOT NULL,
    is_active BOOLEAN DEFAULT TRUE,
    evolution_url STRING,
    evolution_key STRING,
    whatsapp_instance STRING,
    discord_bot_token STRING,
    discord_client_id STRING,
    discord_guild_id STRING,
    agent_api_url STRING NOT NULL,
    agent_api_key STRING NOT NULL,
    agent_id STRING DEFAULT 'default',
    agent_timeout INTEGER DEFAULT 60,
    agent_instance_type STRING DEFAULT 'automagik',
    created_at DATETIME,
    updated_at DATETIME
);
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    instance_name STRING NOT NULL REFERENCES instance_configs (name),
    phone_number STRING,
    email STRING,
    user_data JSON,
    created_at DATETIME,
    UNIQUE (instance_name, phone_number)
);
CREATE TABLE message_traces (
    trace_id UUID PRIMARY KEY,
    instance_name STRING NOT NULL REFERENCES instance_configs (name),
    message_type STRING,
    message_content TEXT,
    sender_phone STRING,
    sender_name STRING,
    status STRING,
    error_message STRING,
    error_stage STRING,
    incoming_payload JSON,
    agent_request_payload JSON,
    agent_response_payload JSON,
    outgoing_payload JSON,
    processing_started_at DATETIME,
    agent_processing_time_ms INTEGER,
    total_processing_time_ms INTEGER,
    agent_response_success BOOLEAN,
    evolution_success BOOLEAN,
    channel_success BOOLEAN,
    session_id STRING,
    session_name STRING,
    user_id STRING,
    created_at DATETIME
);
CREATE TABLE access_control_rules (
    id INTEGER PRIMARY KEY,
    instance_name STRING NOT NULL REFERENCES instance_configs (name),
    phone_number STRING NOT NULL,
    action STRING,
    reason STRING,
    created_at DATETIME
);
INSERT INTO instance_configs
    (id, name, channel_type, evolution_url, evolution_key, whatsapp_instance, discord_bot_token, discord_client_id,
     discord_guild_id, agent_api_url, agent_api_key, agent_id, created_at)
VALUES
    (1, 'customer-a', 'whatsapp', 'https://evolution.example', 'planted-evolution-a',
     '8b167ecf-b1a6-4165-bb0c-c2c7fbaf103e', NULL, NULL, NULL, 'http://192.168.1.100:8886', 'planted-agent-a',
     'gpt-4-business', '2025-12-12 09:00:00'),
    (2, 'customer-a-discord', 'discord', NULL, NULL, NULL, 'planted-bot-token', '328745654129325568', '123456789',
     'http://192.168.1.100:8886', 'planted-agent-d', 'default', '2025-12-12 09:00:00'),
    (3, 'customer-a-slack', 'slack', NULL, NULL, NULL, NULL, NULL, NULL, 'http://192.168.1.100:8886',
     'planted-agent-s', 'default', '2025-12-12 09:00:00');
INSERT INTO users VALUES
    (1, 'customer-a', '1234567890', 'john@example.com', '{"plan": "gold"}', '2025-12-12 10:00:00'),
    (2, 'customer-a', NULL, NULL, NULL, '2025-12-12 10:00:00'),
    (3, 'customer-a', '+5511987654321', NULL, '[1]', '2025-12-12 10:00:00'),
    (4, 'customer-a-slack', '+14155550100', NULL, NULL, '2025-12-12 10:00:00');
INSERT INTO message_traces
    (trace_id, instance_name, message_type, message_content, sender_phone, sender_name, status, error_message,
     error_stage, incoming_payload, agent_request_payload, agent_response_payload, outgoing_payload,
     processing_started_at, agent_processing_time_ms, total_processing_time_ms, agent_response_success,
     evolution_success, channel_success, session_id, session_name, user_id, created_at)
VALUES
    ('ff1ff0da-c57b-429b-a378-d4a242a4ef29', 'customer-a', 'text', 'Hello', '1234567890', 'John', 'completed', NULL,
     NULL, '{"apikey": "planted-evolution-a", "data": {"message": {"conversation": "Hello"}}}',
     '{"message": "Hello", "key": "planted-agent-a"}', '{"message": "Hello!"}', '{"text": "Hello!"}',
     '2025-12-12 10:00:00.500000', 1234, 2500, TRUE, TRUE, TRUE, 'session-abc123', 'customer-a_1234567890',
     '84d749e3-7f62-58f3-ae22-6d05413aca22', '2025-12-12 10:00:00'),
    ('00000000-c57b-429b-a378-d4a242a4ef29', 'customer-a', 'text', 'Anybody?', '1234567890', 'John', 'error',
     'Connection refused', 'agent_called', '{"data": 1}', NULL, NULL, NULL, NULL, NULL, NULL, FALSE, NULL, NULL, NULL,
     NULL, NULL, '2025-12-12 11:00:00');
INSERT INTO access_control_rules VALUES
    (1, 'customer-a', '+55119*', 'block', 'spam', '2025-12-12 10:00:00'),
    (2, 'customer-a', 'maria', 'block', NULL, '2025-12-12 10:00:00');
